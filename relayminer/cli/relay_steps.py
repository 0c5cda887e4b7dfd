"""The steps of one relay, as a gateway takes them."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

from relayminer.cli.relay_options import RelayInputError, RelayOptions
from relayminer.cli.relay_sender import Sender, sender_of
from relayminer.gateway.asking import Asking, Verdict, ask
from relayminer.gateway.chain import GatewayChain
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.modes import STREAM, Question, dialer, mode_named, payload_of
from relayminer.gateway.relays import sign_relay
from relayminer.protocol.address import address_of
from relayminer.protocol.codec import decode
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb import service_pb2
from relayminer.protocol.relay import request_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.gateway.chain import OpenSession

MAX_SHOWN_CHARACTERS = 500


@frozen
class Step:
    """One step and what can be seen of it."""

    title: str
    ok: bool
    details: Sequence[str] = ()


@define
class Outcome:
    """All steps that were taken, and how it ended.

    Attributes:
        latency_seconds: of the network and the relayer: neither signing nor checking.
        batches: how many pieces a stream had.
    """

    steps: list[Step] = field(factory=list)
    ok: bool = False
    error: str = ""
    body: str = ""
    latency_seconds: float = 0.0
    batches: int = 0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "error": self.error,
            "body": self.body,
            "latency_ms": round(self.latency_seconds * 1000, 3),
            "batches": self.batches,
            "steps": [
                {"title": step.title, "ok": step.ok, "details": list(step.details)}
                for step in self.steps
            ],
        }


def question_of(options: RelayOptions) -> Question:
    """What the backend is asked."""
    return Question(
        method=options.method,
        params=options.params,
        body=options.payload,
        http_method=options.http_method,
        path=options.path,
        batches=options.batches,
    )


@asynccontextmanager
async def chain_of(sender: Sender) -> AsyncIterator[GatewayChain | None]:
    """The sender's chain; None for simulated relays."""
    if not sender.node:
        yield None
        return
    async with GatewayChain(sender.node, tls=sender.tls) as chain:
        yield chain


def suppliers_of(session: OpenSession, wanted: str) -> list[str]:
    """Whom to ask: the one that is wanted, else all of the session.

    Raises:
        RelayInputError: nobody.
    """
    if wanted and wanted in session.endpoints:
        return [wanted]
    if wanted or not session.endpoints:
        there = ", ".join(session.endpoints) or "nobody"
        raise RelayInputError(f"{wanted or 'no supplier'} has no endpoint in this session: {there}")
    return list(session.endpoints)


async def send_one(options: RelayOptions) -> Outcome:
    """Send one relay; what fails is in the outcome.

    Raises:
        RelayInputError: keys or names are missing.
        DevnetError: no devnet where one was expected.
        GatewayError: the chain refused a question.
    """
    sender, mode = sender_of(options), mode_named(options.mode)
    outcome = Outcome()
    async with chain_of(sender) as chain:
        session = await sender.open_session(chain)
    outcome.steps.append(_session_step(session, is_simulated=not sender.node))
    supplier = suppliers_of(session, sender.supplier)[0]
    outcome.steps.append(_ring_step(session, sender))
    payload = payload_of(mode, question_of(options))
    signed = sign_relay(session.header, supplier, payload, session.ring, sender.key)
    outcome.steps.append(_signature_step(signed, payload, sender))
    asking = ask(
        mode,
        session,
        supplier,
        url=sender.url,
        simulation_key_id=options.sim_key_id,
        timeout_seconds=options.timeout,
    )
    await _exchange(asking, signed, outcome, options.timeout)
    return outcome


async def _exchange(asking: Asking, signed: bytes, outcome: Outcome, seconds: float) -> None:
    """Ask, and judge all that comes within the time."""
    verdicts: list[Verdict] = []
    sent = f"{asking.mode.name} to {asking.to.url}, {len(signed)} bytes, supplier {asking.supplier}"
    async with dialer() as dial:
        try:
            with trio.move_on_after(seconds) as patience:
                async with aclosing(asking.answers(dial, signed)) as answers:
                    await _listen(asking, answers, verdicts, outcome)
            if patience.cancelled_caught and not verdicts:
                outcome.error = f"no answer within {seconds:g} s"
        except (GatewayError, ProtocolError) as problem:
            outcome.error = str(problem)
    if outcome.batches:
        outcome.steps.append(Step("the relayer answers", ok=True, details=[sent]))
    if outcome.error:
        outcome.steps.append(_failure_step(sent, outcome))
    else:
        _judge(verdicts, outcome, is_stream=asking.mode.name == STREAM)


async def _listen(
    asking: Asking, answers: AsyncIterator[bytes], verdicts: list[Verdict], outcome: Outcome
) -> None:
    began = trio.current_time()
    async for answer in answers:
        outcome.latency_seconds = trio.current_time() - began
        outcome.batches += 1
        verdicts.append(asking.judge(answer))


def _judge(verdicts: Sequence[Verdict], outcome: Outcome, *, is_stream: bool) -> None:
    title = "the answer is the supplier's: session, signature and payload hash are right"
    if is_stream:
        sizes = ", ".join(str(len(verdict.body)) for verdict in verdicts[:20])
        detail = f"{len(verdicts)} batches of {sizes}{' ...' if len(verdicts) > 20 else ''} bytes"  # noqa: PLR2004 - a line's worth
        outcome.steps.append(Step(f"each {title.removeprefix('the ')}", ok=True, details=[detail]))
    else:
        outcome.steps.append(Step(title, ok=True))
    complaints = [verdict.complaint for verdict in verdicts if verdict.complaint]
    body = b"".join(verdict.body for verdict in verdicts)
    outcome.error = complaints[0] if complaints else ""
    outcome.ok = not complaints
    outcome.body = body.decode("utf-8", "replace")[:MAX_SHOWN_CHARACTERS]
    details = [f"status {verdicts[0].status}, {len(body)} bytes", *complaints[:1]]
    outcome.steps.append(Step("the backend answers", ok=outcome.ok, details=details))


def _failure_step(sent: str, outcome: Outcome) -> Step:
    if outcome.batches:
        return Step("the answer is the supplier's", ok=False, details=[outcome.error])
    remedy = "is `relayminer run` up there, serving this service with this supplier's key?"
    return Step("the relayer answers", ok=False, details=(sent, outcome.error, remedy))


def _session_step(session: OpenSession, *, is_simulated: bool) -> Step:
    header = session.header
    start, end = header.session_start_block_height, header.session_end_block_height
    title = "the chain says which suppliers serve this application now"
    if is_simulated:
        title = "a simulated session: no chain knows it, the relayer has pinned the application"
    return Step(
        title,
        ok=True,
        details=(
            f"service {header.service_id}, application {header.application_address}",
            f"session {header.session_id}, blocks {start} to {end}",
            f"{len(session.endpoints)} suppliers with an endpoint",
        ),
    )


def _ring_step(session: OpenSession, sender: Sender) -> Step:
    ring = [address_of(member) for member in session.ring]
    member = sender.key.address in ring
    return Step(
        "the ring: any of these may sign for the application, and nobody can tell who did",
        ok=member,
        details=(
            *ring,
            f"signing as {sender.key.address}"
            + ("" if member else ", which is NOT in the ring: the relayer has to refuse"),
        ),
    )


def _signature_step(signed: bytes, payload: bytes, sender: Sender) -> Step:
    request = decode(service_pb2.RelayRequest, signed)
    return Step(
        "the request is signed with the ring",
        ok=True,
        details=(
            f"payload {len(payload)} bytes",
            f"signed hash {request_hash(request).hex()}",
            f"ring signature {len(request.meta.signature)} bytes, key of {sender.key.address}",
        ),
    )
