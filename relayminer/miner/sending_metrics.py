"""Transactions, their windows and the proofs that the chain asks for, in numbers.

The names are those of the Go miner.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from relayminer.chain.errors import ChainError
from relayminer.miner.records import Phase
from relayminer.miner.submit import Verdict, refusal_of, speaks_of_shortage
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.miner.entries import SessionInfo
    from relayminer.miner.sessions import Attempt
    from relayminer.telemetry.metrics import CounterFamily, Metrics

SUCCESS: Final = "success"
ERROR: Final = "error"
REFUSED: Final = "refused"
BROADCAST: Final = "broadcast"
FAILED: Final = "callback_failed"
TOO_SLOW: Final = "timeout"
_WINDOW_BLOCKS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 15.0, 20.0)
_REQUIREMENTS: Final[dict[int, str]] = {
    proof_pb2.THRESHOLD: "threshold",
    proof_pb2.PROBABILISTIC: "probabilistic",
}


class SendingMetrics:
    """What is sent, when, and how it fared."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics, supplier = metrics, ("supplier",)
        self._broadcasts = metrics.counter(
            "ha_tx_broadcasts", "Transactions that were sent", ("supplier", "status")
        )
        self._seconds = metrics.histogram(
            "ha_tx_broadcast_latency_seconds",
            "From signing a transaction to the mempool's answer, simulation included",
            supplier,
        )
        self._short = metrics.counter(
            "ha_tx_insufficient_balance_errors",
            "Transactions that the account could not pay for",
            supplier,
        )
        self._messages = self._counters("ha_tx_{}s_submitted", "Messages with a {}")
        self._failures = self._counters(
            "ha_tx_{}_errors", "Transactions with {}s that were not taken", "error_type"
        )
        self._rebroadcasts = self._counters(
            "ha_miner_{}_rebroadcasts",
            "Messages with a {} that were sent again",
            *("service_id", "result"),
        )
        self._groups = self._counters(
            "ha_miner_{}_errors",
            "Times that a group's {}s could not be worked on at a block",
            "reason",
        )
        self._window_blocks = {
            phase: metrics.histogram(
                f"ha_miner_{phase.value}_submission_latency_blocks",
                f"From the {phase.value} window's first block to the first message in the mempool",
                supplier,
                _WINDOW_BLOCKS,
            )
            for phase in Phase
        }
        self.requirements = RequirementMetrics(metrics)

    def _counters(self, name: str, text: str, *more: str) -> dict[Phase, CounterFamily]:
        """One for claims and one for proofs."""
        return {
            phase: self._metrics.counter(
                name.format(phase.value), text.format(phase.value), ("supplier", *more)
            )
            for phase in Phase
        }

    @contextmanager
    def broadcast(self, supplier: str, phase: Phase, messages: int) -> Iterator[None]:
        """Count and time one transaction."""
        began = trio.current_time()
        try:
            yield
        except ChainError as error:
            refusal = refusal_of(error)
            status = ERROR if refusal is None else REFUSED
            self._failures[phase].bind(supplier, BROADCAST).value += 1
            if refusal is not None and speaks_of_shortage(refusal.text):
                self._short.bind(supplier).value += 1
            self._broadcasts.bind(supplier, status).value += 1
            raise
        self._broadcasts.bind(supplier, SUCCESS).value += 1
        self._seconds.bind(supplier).observe(trio.current_time() - began)
        self._messages[phase].bind(supplier).value += messages

    def sent(
        self,
        supplier: str,
        phase: Phase,
        info: SessionInfo,
        attempt: Attempt,
        verdict: Verdict,
        blocks: int,
    ) -> None:
        """A message was sent, `blocks` after its window opened; `attempt` is of its session."""
        is_accepted = verdict is Verdict.ACCEPTED
        if attempt.resends:
            result = SUCCESS if is_accepted else ERROR
            self._rebroadcasts[phase].bind(supplier, info.service_id, result).value += 1
        elif is_accepted:
            self._window_blocks[phase].bind(supplier).observe(blocks)

    def group_failed(self, supplier: str, phase: Phase, *, too_slow: bool) -> None:
        """Nothing more could be done at this block for sessions that end together."""
        self._groups[phase].bind(supplier, TOO_SLOW if too_slow else FAILED).value += 1


class RequirementMetrics:
    """Whether the chain wants a proof, as far as we can tell."""

    def __init__(self, metrics: Metrics) -> None:
        def counter(name: str, text: str, *more: str) -> CounterFamily:
            return metrics.counter(f"ha_miner_proof_requirement_{name}", text, ("supplier", *more))

        self._checks = counter("checks", "Looks whether a claim must be proven")
        self._required = counter("required", "Claims that must be proven", "reason")
        self._skipped = counter("skipped", "Claims that need no proof")
        self._errors = counter("errors", "Looks that failed; the proof is sent then", "operation")

    def decided(self, supplier: str, reason: int) -> None:
        """A look came to `reason`, a `ProofRequirementReason`."""
        self._checks.bind(supplier).value += 1
        if reason == proof_pb2.NOT_REQUIRED:
            self._skipped.bind(supplier).value += 1
        else:
            name = _REQUIREMENTS.get(reason, "unknown")
            self._required.bind(supplier, name).value += 1

    def unknown(self, supplier: str) -> None:
        """The amount of a claim is not known."""
        self._checks.bind(supplier).value += 1
        self._errors.bind(supplier, "calculate_claimed_amount").value += 1
