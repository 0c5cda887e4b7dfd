"""Checks of what a transport does for good relays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.smst import Trie, root_count
from relayminer.testing.conformance.verdicts import (
    connected,
    good_response,
    require,
    same_relay,
    until,
    until_asked,
)
from relayminer.testing.driver import HungUpError
from relayminer.testing.stand import PATIENCE_SECONDS, Wanted, same_body

if TYPE_CHECKING:
    from relayminer.testing.driver import DrivenConnection
    from relayminer.testing.stand import Stand, Stands

_CLIENTS = 40
_RELAYS_EACH = 5


async def a_relay_is_logged_before_it_is_answered(stands: Stands) -> None:
    """The answer is signed for its request, and by then the log has exactly that relay."""
    async with stands.open(Wanted()) as stand:
        body = stand.body()
        response = good_response(stand, await stand.ask(body))
        entries = await stand.logged()
        require(len(entries) == 1, f"{len(entries)} log entries for one answered relay")
        require(same_relay(entries[0], body, response), "the log has another relay")
        require(stand.backend.asked == 1, f"the backend was asked {stand.backend.asked} times")


async def what_cannot_be_logged_is_not_answered(stands: Stands) -> None:
    """While the log refuses entries no answer is given, unless the relay is logged later."""
    async with stands.open(Wanted()) as stand:
        key = stand.names.stream_key(stand.parties.supplier)
        await stand.redis.command("SET", key, "not a stream")
        replies = [await stand.ask(stand.body()) for _ in range(3)]
        await stand.redis.command("DEL", key)

        async def serves() -> bool:
            replies.append(await stand.ask(stand.body()))
            return bool(replies[-1].response)

        await until(serves)
        served = [reply for reply in replies if reply.response]

        async def all_logged() -> bool:
            return len(await stand.logged()) >= len(served)

        await until(all_logged)
        require(len(await stand.logged()) == len(served), "the log has not what was answered")


async def relays_of_one_connection_are_served_in_order(stands: Stands) -> None:
    """One after another over one connection, each answer for its own request."""
    async with stands.open(Wanted()) as stand, connected(stand) as connection:
        for count in range(1, 11):
            body = stand.body()
            await connection.send(body)
            response = good_response(stand, await connection.receive())
            entries = await stand.logged()
            require(len(entries) == count, f"{len(entries)} log entries after {count} relays")
            require(same_relay(entries[-1], body, response), "an answer for another request")


async def a_client_that_leaves_after_its_answer_is_mined(stands: Stands) -> None:
    """Nothing of a relay is left to do once its client has the answer."""
    async with stands.open(Wanted()) as stand:
        rounds = 200 if stands.soak else 20
        for count in range(1, rounds + 1):
            good_response(stand, await stand.ask(stand.body()))
            logged = len(await stand.logged())
            require(logged == count, f"{logged} log entries after {count} clients left")


async def many_clients_are_served_at_once(stands: Stands) -> None:
    """As many answers as log entries, none for somebody else's request."""
    async with stands.open(Wanted()) as stand:
        served: list[bytes] = []

        async def client() -> None:
            async with connected(stand) as connection:
                for _ in range(_RELAYS_EACH):
                    await connection.send(stand.body())
                    response = good_response(stand, await connection.receive())
                    served.append(response.meta.supplier_operator_signature)

        async with trio.open_nursery() as nursery:
            for _ in range(_CLIENTS):
                nursery.start_soon(client)
        count = _CLIENTS * _RELAYS_EACH
        require(len(set(served)) == count, "two requests have got the same answer")
        require(len(await stand.logged()) == count, "not every answered relay is logged once")
        require(stand.backend.asked == count, "the backend was not asked once per relay")


async def the_same_signed_relay_makes_one_leaf_per_answer(stands: Stands) -> None:
    """A hundred times the same bytes: one leaf, or as many as there are different answers."""
    repeats = 100
    for bodies, leaves in ((same_body, 1), (lambda n: b'{"result":%d}' % (n % 4), 4)):
        async with stands.open(Wanted(bodies=bodies)) as stand:
            body = stand.body()
            async with connected(stand) as connection:
                for _ in range(repeats):
                    await connection.send(body)
                    good_response(stand, await connection.receive())
            trie = Trie()
            for entry in await stand.logged():
                trie.update(entry.relay_hash, entry.relay_bytes, entry.compute_units_per_relay)
            found = root_count(trie.root)
            require(found == leaves, f"{found} leaves for {leaves} different answers")


async def what_is_in_hand_is_finished_at_the_end(stands: Stands) -> None:
    """A relay at the backend when the relayer is told to stop is answered and logged."""
    async with stands.open(Wanted()) as stand:
        stand.backend.hold = trio.Event()
        async with connected(stand) as connection:
            body = stand.body()
            await connection.send(body)
            await until_asked(stand, 1)
            stand.relayer.stop()
            await _nobody_listens(stand)
            stand.backend.hold.set()
            response = good_response(stand, await connection.receive())
            require(await _ends(connection), "the connection outlives the relayer")
        with trio.fail_after(PATIENCE_SECONDS):
            await stand.relayer.wait_stopped()
        entries = await stand.logged()
        require(len(entries) == 1, f"{len(entries)} log entries for one answered relay")
        require(same_relay(entries[0], body, response), "the log has another relay")


async def an_idle_connection_does_not_hold_up_the_end(stands: Stands) -> None:
    """Clients that say nothing are hung up on, long before the time to drain is over."""
    async with stands.open(Wanted(drain_seconds=15.0)) as stand, connected(stand) as connection:
        await connection.send(stand.body())
        good_response(stand, await connection.receive())
        stand.relayer.stop()
        with trio.move_on_after(8.0) as limit:
            await stand.relayer.wait_stopped()
        require(not limit.cancelled_caught, "an idle client keeps the relayer from ending")


async def _nobody_listens(stand: Stand) -> None:
    async def refused() -> bool:
        try:
            stream = await trio.open_tcp_stream(*stand.relayer.address)
        except OSError:
            return True
        await stream.aclose()
        return False

    await until(refused)


async def _ends(connection: DrivenConnection) -> bool:
    """Whether the next thing that comes is the end of the connection."""
    try:
        return (await connection.receive()).ended
    except HungUpError:
        return True


SERVING = (
    a_relay_is_logged_before_it_is_answered,
    what_cannot_be_logged_is_not_answered,
    relays_of_one_connection_are_served_in_order,
    a_client_that_leaves_after_its_answer_is_mined,
    many_clients_are_served_at_once,
    the_same_signed_relay_makes_one_leaf_per_answer,
    what_is_in_hand_is_finished_at_the_end,
    an_idle_connection_does_not_hold_up_the_end,
)
