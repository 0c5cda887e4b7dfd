"""The traces of relays in the miner: from the log into the trie, and on to claim, proof and money.

What is known of a claim is in the ledger, so spans are made of what is new there. A few relays of a
session are followed to its end: what happens to the session happens to all of them alike. They are
remembered here alone, so a miner that starts anew, or has taken a supplier over, tells of a session
only through relays that it has counted itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from attrs import define, field

from relayminer.miner.entries import entry_order
from relayminer.miner.records import Phase, Step
from relayminer.telemetry.spans import (
    CLIENT,
    CONSUMER,
    Attributes,
    Event,
    TraceName,
    Traces,
    child,
    clipped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relayminer.config.tracing import TracingSettings
    from relayminer.miner.entries import Relay, SessionInfo
    from relayminer.miner.records import Record, Value

SESSIONS_MAX: Final = 5_000
"""Sessions that are followed; beyond them the oldest are not any more."""
EVENTS_MAX: Final = 16
"""What a claim or a proof is told to have gone through."""
NS_PER_MS: Final = 1_000_000

_BEGINS: Final = {Step.CLAIM_INTENT: Phase.CLAIM, Step.PROOF_INTENT: Phase.PROOF}
_HAPPENS: Final = {
    Step.CLAIM_SUBMITTED: Phase.CLAIM,
    Step.CLAIM_FAILED: Phase.CLAIM,
    Step.PROOF_SUBMITTED: Phase.PROOF,
    Step.PROOF_FAILED: Phase.PROOF,
}
_ENDS: Final = {
    Step.CLAIM_INCLUDED: Phase.CLAIM,
    Step.SKIPPED: Phase.CLAIM,
    Step.PROOF_VALIDATED: Phase.PROOF,
    Step.PROOF_NOT_REQUIRED: Phase.PROOF,
}
_SETTLES: Final = frozenset({Step.SETTLED, Step.EXPIRED, Step.SLASHED, Step.DISCARDED})
_LOSSES: Final = frozenset({Step.LOST, Step.EXPIRED, Step.SLASHED, Step.DISCARDED})


@define
class _Underway:
    """A claim or a proof between its intent and its end."""

    began_ns: int
    attributes: Attributes
    events: list[Event] = field(factory=list)


@define
class _Followed:
    """A session, and those of its relays that are followed."""

    names: dict[bytes, TraceName] = field(factory=dict)
    underway: dict[Phase, _Underway] = field(factory=dict)
    since_ns: int = 0
    """When the last step was done: how long the next one was waited for."""


class Trail:
    """See the module.

    Args:
        traces: which relays, and where spans go.
        relays_per_session: that are followed to the session's end.
        wall_clock_ns: nanoseconds since 1970.
    """

    def __init__(
        self, traces: Traces, relays_per_session: int, wall_clock_ns: Callable[[], int]
    ) -> None:
        self._traces = traces
        self._relays_per_session = relays_per_session
        self._now_ns = wall_clock_ns
        self._sessions: dict[tuple[str, str], _Followed] = {}

    def counted(self, supplier: str, info: SessionInfo, relays: Sequence[Relay]) -> None:
        """Relays are in a trie that is durable."""
        now_ns = self._now_ns()
        for relay in relays:
            if self._traces.takes(relay.key):
                self._tell_ingest(supplier, info, relay, now_ns)
                self._follow(supplier, info, relay.key, now_ns)

    def late(self, supplier: str, info: SessionInfo, relays: Sequence[Relay]) -> None:
        """Relays came after their session was sealed."""
        now_ns = self._now_ns()
        for relay in relays:
            if self._traces.takes(relay.key):
                self._tell_ingest(supplier, info, relay, now_ns, error="late")

    def _tell_ingest(
        self, supplier: str, info: SessionInfo, relay: Relay, now_ns: int, error: str = ""
    ) -> None:
        entry = relay.entry.id
        attributes: Attributes = {
            "pocket.supplier_operator_address": supplier,
            "pocket.service_id": clipped(info.service_id),
            "pocket.session_id": clipped(info.session_id),
            "pocket.entry_id": entry.decode(),
            "pocket.compute_units": relay.weight,
        }
        name, began_ns = TraceName(relay.key), entry_order(entry)[0] * NS_PER_MS
        self._traces.add(
            child(name, "ingest", began_ns, now_ns, attributes, kind=CONSUMER, error=error)
        )

    def _follow(self, supplier: str, info: SessionInfo, digest: bytes, now_ns: int) -> None:
        key = supplier, info.session_id
        followed = self._sessions.get(key)
        if followed is None:
            if not self._relays_per_session:
                return
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[next(iter(self._sessions))]
            followed = self._sessions[key] = _Followed()
        if len(followed.names) < self._relays_per_session and not followed.underway:
            followed.names.setdefault(digest, TraceName(digest))
            followed.since_ns = now_ns

    def saw(self, supplier: str, record: Record) -> None:
        """A line is new in a supplier's ledger."""
        followed = self._sessions.get((supplier, record.session_id))
        if followed is None:
            return
        step, now_ns = record.step, self._now_ns()
        about = _about(record.fields)
        if step in _BEGINS:
            underway = followed.underway.setdefault(_BEGINS[step], _Underway(now_ns, about))
            underway.attributes |= about
            _happened(underway, step, now_ns, {})
        elif step in _HAPPENS:
            underway = followed.underway.setdefault(_HAPPENS[step], _Underway(now_ns, {}))
            _happened(underway, step, now_ns, about)
        elif step in _ENDS:
            self._end(followed, _ENDS[step], now_ns, {**about, "pocket.step": step.value})
        elif step in _SETTLES or step in _LOSSES:
            self._settle(supplier, followed, record, now_ns, about)

    def _end(
        self,
        followed: _Followed,
        phase: Phase,
        now_ns: int,
        about: Attributes,
        error: str = "",
    ) -> None:
        underway = followed.underway.pop(phase, None) or _Underway(now_ns, {})
        followed.since_ns = now_ns
        for name in followed.names.values():
            span = child(
                name,
                phase.value,
                underway.began_ns,
                now_ns,
                {**underway.attributes, **about},
                kind=CLIENT,
                events=tuple(underway.events),
                error=error,
            )
            self._traces.add(span)

    def _settle(
        self, supplier: str, followed: _Followed, record: Record, now_ns: int, about: Attributes
    ) -> None:
        """The chain has had its say, or the session is lost before it could."""
        error = record.step.value if record.step in _LOSSES else ""
        for phase in list(followed.underway) if error else ():
            self._end(followed, phase, now_ns, about, error)
        about = {**about, "pocket.step": record.step.value}
        for name in followed.names.values():
            mark = "" if record.step is Step.SETTLED else record.step.value
            self._traces.add(
                child(name, "settle", followed.since_ns, now_ns, about, mark=mark, error=error)
            )
        followed.since_ns = now_ns
        if record.step is Step.LOST:
            # Nothing follows it that concerns its relays.
            self._sessions.pop((supplier, record.session_id), None)


def trail_of(traces: Traces | None, settings: TracingSettings) -> Trail | None:
    """None when relays are not traced."""
    return None if traces is None else Trail(traces, settings.relays_per_session, time.time_ns)


def _happened(underway: _Underway, step: Step, now_ns: int, about: Attributes) -> None:
    if len(underway.events) < EVENTS_MAX:
        underway.events.append(Event(step.value, now_ns, about))


def _about(fields: Mapping[str, Value]) -> Attributes:
    """The fields of a ledger's line: heights, amounts in uPOKT, transaction hashes, reasons."""
    return {
        f"pocket.{name}": clipped(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
