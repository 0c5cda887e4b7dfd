"""Checks of what a transport does with relays that must not be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.protocol import codec
from relayminer.protocol.signature import SigningKey
from relayminer.testing.conformance.verdicts import good_response, refused, require, until
from relayminer.testing.driver import ConnectRefusedError, HungUpError, Reply
from relayminer.testing.forgery import Forger
from relayminer.testing.stand import PATIENCE_SECONDS, Wanted

if TYPE_CHECKING:
    from relayminer.protocol.pb.service_pb2 import RelayRequest
    from relayminer.testing.driver import DrivenConnection
    from relayminer.testing.stand import Stand, Stands

_WORKERS = 8
_GOOD_EVERY = 10
_ALLOCATORS_KIB = 80_000
"""What allocators keep for later; messages that were kept would be 240 MB and more."""
_UNKNOWN_SERVICE = "no-such-service"


async def an_unknown_service_is_refused(stands: Stands) -> None:
    """A service that this relayer does not serve reaches no backend."""

    def change(request: RelayRequest) -> None:
        request.meta.session_header.service_id = _UNKNOWN_SERVICE

    async with stands.open(Wanted()) as stand:
        request = stand.parties.request(stand.payload(), change=change)
        await _is_refused(stand, "an unknown service", codec.encode(request), _UNKNOWN_SERVICE)


async def another_supplier_is_refused(stands: Stands) -> None:
    """A relay for a supplier whose key is not here."""

    def change(request: RelayRequest) -> None:
        stranger = SigningKey.from_seed(b"supplier of somebody else")
        request.meta.supplier_operator_address = stranger.address

    async with stands.open(Wanted()) as stand:
        request = stand.parties.request(stand.payload(), change=change)
        await _is_refused(stand, "a relay for another supplier", codec.encode(request))


async def a_forged_ring_is_refused(stands: Stands) -> None:
    """A ring with a stranger, before and after the session is known; and a moved signature."""
    async with stands.open(Wanted()) as stand:
        parties = stand.parties
        ring = [SigningKey.from_seed(b"stranger").public_key, parties.gateway_key.public_key]
        alien = parties.request(stand.payload(), ring=ring)
        moved = parties.request(stand.payload())
        moved.payload = stand.payload()
        for _ in range(2):
            await _is_refused(stand, "a ring with a stranger", codec.encode(alien))
            await _is_refused(stand, "a signature of another payload", codec.encode(moved))


async def an_ended_session_is_refused(stands: Stands) -> None:
    """The same bytes that were served in their session are not after its grace period."""
    async with stands.open(Wanted()) as stand:
        body = stand.body()
        good_response(stand, await stand.ask(body))
        await stand.relayer.end_session()

        async def over() -> bool:
            return not (await stand.ask(body)).response

        # A relayer in another process hears of the height a moment later.
        await until(over)
        asked, logged = stand.backend.asked, len(await stand.logged())
        refused(await stand.ask(stand.body()), "a relay of an ended session")
        require(stand.backend.asked == asked, "an ended session reached the backend")
        require(len(await stand.logged()) == logged, "a relay of an ended session is logged")


async def garbage_is_refused(stands: Stands) -> None:
    """Bytes that are no relay, a relay cut short, and nothing at all."""
    async with stands.open(Wanted()) as stand:
        good = stand.body()
        for what, body in (
            ("garbage", b"not protobuf at all \xff\xff\xff"),
            ("a relay cut short", good[:-7]),
            ("a relay cut in half", good[: len(good) // 2]),
            ("an empty relay", b""),
            ("a relay with garbage behind it", good + b"\xff\xff\xff"),
        ):
            await _is_refused(stand, what, body)


async def an_oversized_relay_is_refused(stands: Stands) -> None:
    """Nobody's memory is at a client's mercy: too much is refused, and none of it is kept."""
    limit = 100_000
    rounds, connections = (40, 500) if stands.soak else (12, 150)
    async with stands.open(Wanted(max_body_bytes=limit)) as stand:
        large = stand.parties.body(stand.payload().ljust(stand.driver.oversize_bytes(limit)))
        huge = b"x" * 20_000_000
        await _is_refused(stand, "an oversized relay", large)
        await _is_refused(stand, "a huge message", huge)
        before_kib = stand.memory_kib()
        for _ in range(rounds):
            refused(await _reply_or_end(stand, huge), "a huge message")
        for _ in range(connections):
            await _leave_at_once(stand)
        good_response(stand, await stand.ask(stand.body()))
        grown_kib = stand.memory_kib() - before_kib
        require(grown_kib < _ALLOCATORS_KIB, f"refused messages have cost {grown_kib} KiB")


async def the_budget_is_kept(stands: Stands) -> None:
    """What the application can pay for is served, the next relay is not, refusals cost nothing."""
    paid = 5
    async with stands.open(Wanted()) as stand:
        await stand.limit_budget(paid)
        garbage = b"not protobuf at all \xff\xff\xff"
        for _ in range(paid):
            good_response(stand, await stand.ask(stand.body()))
            refused(await _reply_or_end(stand, garbage), "garbage")
        asked = stand.backend.asked
        for _ in range(3):
            refused(await stand.ask(stand.body()), "a relay over the budget")
        require(stand.backend.asked == asked, "a relay over the budget reached the backend")
        require(len(await stand.logged()) == paid, "not what was paid for is logged")


async def what_was_served_is_what_was_metered(stands: Stands) -> None:
    """After an orderly end the counter says what the log says: nothing for refused relays."""
    served = 7
    async with stands.open(Wanted()) as stand:
        forger = Forger(stand.parties, stand.driver.payload)
        for seed in range(served):
            good_response(stand, await stand.ask(stand.body()))
            forged = forger.make(seed)
            refused(await _reply_or_end(stand, forged.body), forged.kind)
        stand.relayer.stop()
        with trio.fail_after(PATIENCE_SECONDS):
            await stand.relayer.wait_stopped()
        consumed, cost = await stand.consumed_upokt(), stand.parties.cost_upokt
        require(
            consumed == served * cost,
            f"{consumed} uPOKT are consumed by {served} relays of {cost} uPOKT",
        )


async def forgeries_are_neither_signed_nor_logged(stands: Stands) -> None:
    """Among good relays over many connections: only the good ones are signed, logged, mined."""
    async with stands.open(Wanted()) as stand:
        count = 10_000 if stands.soak else 300
        served: list[bytes] = []

        async def worker(first: int) -> None:
            client = _Client(stand)
            forger = Forger(stand.parties, stand.driver.payload)
            for seed in range(first, count, _WORKERS):
                forged = forger.make(seed)
                refused(await client.ask(forged.body), f"forgery {seed} ({forged.kind})")
                if seed % _GOOD_EVERY == 0:
                    response = good_response(stand, await client.ask(stand.body()))
                    served.append(response.meta.supplier_operator_signature)
            await client.aclose()

        async with trio.open_nursery() as nursery:
            for first in range(_WORKERS):
                nursery.start_soon(worker, first)
        good = len(range(0, count, _GOOD_EVERY))
        require(len(set(served)) == good, "not every good relay has got its own answer")
        require(len(await stand.logged()) == good, "the log has other relays than the good ones")
        require(stand.backend.asked == good, "a forgery has reached the backend")


class _Client:
    """A client that connects again whenever it was hung up on."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._connection: DrivenConnection | None = None

    async def ask(self, body: bytes) -> Reply:
        """Send `body` over the connection, or a new one."""
        with trio.fail_after(PATIENCE_SECONDS):
            if self._connection is None:
                self._connection = await self._stand.driver.connect(
                    self._stand.relayer.address, self._stand.parties.header.service_id
                )
            try:
                await self._connection.send(body)
                reply = await self._connection.receive()
            except HungUpError:
                reply = Reply(refusal="hung up", ended=True)
            if reply.ended:
                await self.aclose()
            return reply

    async def aclose(self) -> None:
        """Leave."""
        if self._connection is not None:
            await self._connection.aclose()
            self._connection = None


async def _reply_or_end(stand: Stand, body: bytes, service: str = "") -> Reply:
    """The answer to bytes for which hanging up is an answer, too."""
    try:
        return await stand.ask(body, service)
    except HungUpError:
        return Reply(refusal="hung up", ended=True)


async def _is_refused(stand: Stand, what: str, body: bytes, service: str = "") -> None:
    """`body` is refused, nothing of it remains, and a good relay is served afterwards."""
    asked, logged = stand.backend.asked, len(await stand.logged())
    refused(await _reply_or_end(stand, body, service), what)
    require(stand.backend.asked == asked, f"{what} reached the backend")
    require(len(await stand.logged()) == logged, f"{what} is logged")
    good_response(stand, await stand.ask(stand.body()))
    require(len(await stand.logged()) == logged + 1, f"after {what} a good relay is not logged")


async def _leave_at_once(stand: Stand) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        try:
            connection = await stand.driver.connect(
                stand.relayer.address, stand.parties.header.service_id
            )
        except ConnectRefusedError:
            return
        await connection.aclose()


REFUSING = (
    an_unknown_service_is_refused,
    another_supplier_is_refused,
    a_forged_ring_is_refused,
    an_ended_session_is_refused,
    garbage_is_refused,
    an_oversized_relay_is_refused,
    the_budget_is_kept,
    what_was_served_is_what_was_metered,
    forgeries_are_neither_signed_nor_logged,
)
