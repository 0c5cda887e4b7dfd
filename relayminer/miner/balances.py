"""The money that mining needs: fees left in the suppliers' accounts, and stake left to lose.

Every transaction and every proof is paid by the operator's account; every required proof that is
missing costs stake, and below the minimum the chain unstakes the supplier by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio
from attrs import frozen

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.miner.records import Step
from relayminer.state.errors import StateError
from relayminer.state.ledger import LedgerRecord, record_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relayminer.config.balance import BalanceSettings
    from relayminer.protocol.pb import proof_pb2, shared_pb2, supplier_pb2
    from relayminer.state.ledger import Ledger
    from relayminer.telemetry.metrics import Metrics

LOOK_BACK_SECONDS: Final = 86_400
"""Fees of the last day say how fast money goes."""
SHORTEST_SECONDS: Final = 3_600
"""Over less time than this a pace is not believed."""
RECORDS_READ: Final = 300
"""Of each supplier's ledger, the newest."""
CONCURRENT: Final = 8
_HOUR: Final = 3_600.0
_WORDS: Final = {
    "balance": "fees run out: send uPOKT to the supplier",
    "stake": "stake runs out: add to the stake",
}

_log = structlog.get_logger("relayminer.miner.balances")


class MoneyChain(Protocol):
    """What is asked of the chain."""

    async def balance(self, address: str) -> int:
        """What an account holds, uPOKT."""
        ...

    async def supplier(self, operator_address: str) -> shared_pb2.Supplier:
        """A staked supplier; NotFoundError when it is not staked."""
        ...

    async def supplier_params(self) -> supplier_pb2.Params:
        """The supplier module's params."""
        ...

    async def proof_params(self) -> proof_pb2.Params:
        """The proof module's params."""
        ...


@frozen
class Purse:
    """A supplier's money, uPOKT.

    Attributes:
        stake_upokt: 0 when it is not staked.
        fees_per_hour_upokt: at the pace of the last day; 0 when nothing was paid.
        missable_proofs: proofs that may be missed before the stake is below its minimum; None
            when missing one costs nothing, or it is not staked.
    """

    balance_upokt: int
    stake_upokt: int
    min_stake_upokt: int
    fees_per_hour_upokt: float
    missable_proofs: int | None

    @property
    def fee_hours_left(self) -> float:
        """How long the balance pays the fees; infinite while nothing is paid."""
        if not self.fees_per_hour_upokt:
            return float("inf")
        return self.balance_upokt / self.fees_per_hour_upokt

    @property
    def stake_ratio(self) -> float:
        """Stake over minimum stake; 0 when one of them is not there."""
        return self.stake_upokt / self.min_stake_upokt if self.min_stake_upokt else 0.0


def fees_per_hour(records: Iterable[LedgerRecord], now: float, *, complete: bool) -> float:
    """What is paid per hour, from a ledger's newest records.

    Args:
        records: in any order.
        now: Unix seconds.
        complete: whether there are no older ones.
    """
    paid, oldest, submission_fees = 0, now, dict[str, int]()
    for record in records:
        fields = record_fields(record)
        moment, step = fields.get("unix_seconds"), fields.get("step")
        if not isinstance(moment, int) or moment < now - LOOK_BACK_SECONDS:
            continue
        oldest = min(oldest, moment)
        session = str(fields.get("session_id"))
        if step in {Step.CLAIM_SUBMITTED, Step.PROOF_SUBMITTED}:
            paid += _number(fields.get("fee_upokt"))
        if step == Step.PROOF_INTENT:
            submission_fees[session] = _number(fields.get("submission_fee_upokt"))
    paid += sum(submission_fees.values())
    seconds = LOOK_BACK_SECONDS if complete else now - oldest
    return paid * _HOUR / max(seconds, SHORTEST_SECONDS)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


class Balances:
    """A service that looks at the money of suppliers now and then.

    Args:
        chain: where it is.
        ledger: what was paid.
        settings: when to warn.
        suppliers: whose money, asked at every look.
        metrics: where it is shown.
        now: Unix seconds.
    """

    name = "balances"

    def __init__(
        self,
        chain: MoneyChain,
        ledger: Ledger,
        settings: BalanceSettings,
        suppliers: Callable[[], Iterable[str]],
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._chain = chain
        self._ledger = ledger
        self._settings = settings
        self._suppliers = suppliers
        self._metrics = BalanceMetrics(metrics)
        self._now = now
        self._told: dict[tuple[str, str], str] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look at every interval until cancelled."""
        task_status.started()
        if not self._settings.interval_seconds:
            return
        while True:
            await self.look()
            await trio.sleep(self._settings.interval_seconds)

    async def look(self) -> None:
        """One look at every supplier."""
        try:
            params = await self._chain.supplier_params(), await self._chain.proof_params()
        except ChainError as error:
            _log.warning("balances not looked at", error=str(error))
            return
        turns = trio.CapacityLimiter(CONCURRENT)
        async with trio.open_nursery() as nursery:
            for supplier in self._suppliers():
                nursery.start_soon(self._look_at, supplier, *params, turns)

    async def _look_at(
        self,
        supplier: str,
        staking: supplier_pb2.Params,
        proving: proof_pb2.Params,
        turns: trio.CapacityLimiter,
    ) -> None:
        async with turns:
            try:
                purse = await self._purse(supplier, staking, proving)
            except (ChainError, StateError) as error:
                self._metrics.errors.bind(supplier, "query").value += 1
                _log.warning("balance not known", supplier=supplier, error=str(error))
                return
        self._show(supplier, purse)
        self._warn(supplier, purse)

    async def _purse(
        self, supplier: str, staking: supplier_pb2.Params, proving: proof_pb2.Params
    ) -> Purse:
        balance = await self._chain.balance(supplier)
        try:
            stake = _amount((await self._chain.supplier(supplier)).stake.amount)
        except NotFoundError:
            stake = 0
        records = await self._ledger.newest(supplier, count=RECORDS_READ)
        pace = fees_per_hour(records, self._now(), complete=len(records) < RECORDS_READ)
        minimum, penalty = (
            _amount(staking.min_stake.amount),
            _amount(proving.proof_missing_penalty.amount),
        )
        missable = max(0, stake - minimum) // penalty if penalty and stake else None
        return Purse(balance, stake, minimum, pace, missable)

    def _show(self, supplier: str, purse: Purse) -> None:
        metrics, threshold = self._metrics, self._settings.min_balance_upokt
        metrics.balance.bind(supplier).value = purse.balance_upokt
        metrics.stake.bind(supplier).value = purse.stake_upokt
        metrics.stake_ratio.bind(supplier).value = purse.stake_ratio
        metrics.fee_hours.bind(supplier).value = purse.fee_hours_left
        if purse.missable_proofs is not None:
            metrics.missable.bind(supplier).value = purse.missable_proofs
        level = (purse.balance_upokt >= threshold) + (purse.balance_upokt >= 2 * threshold)
        metrics.balance_status.bind(supplier).value = level

    def _warn(self, supplier: str, purse: Purse) -> None:
        """Say what changed for the worse, and when it is well again; not at every look."""
        settings, threshold = self._settings, self._settings.min_balance_upokt
        balance = missable = ""
        if purse.balance_upokt < threshold:
            balance = "critical"
        elif purse.balance_upokt < 2 * threshold or purse.fee_hours_left < settings.warn_fee_hours:
            balance = "warning"
        if purse.missable_proofs is not None:
            if purse.missable_proofs < settings.critical_missable_proofs:
                missable = "critical"
            elif purse.missable_proofs < settings.warn_missable_proofs:
                missable = "warning"
        facts: dict[str, object] = {
            "balance_upokt": purse.balance_upokt,
            "fee_hours_left": round(purse.fee_hours_left, 1) if purse.fees_per_hour_upokt else None,
            "stake_upokt": purse.stake_upokt,
            "min_stake_upokt": purse.min_stake_upokt,
            "missable_proofs": purse.missable_proofs,
        }
        self._tell(supplier, "balance", balance, facts)
        self._tell(supplier, "stake", missable, facts)

    def _tell(self, supplier: str, what: str, level: str, facts: Mapping[str, object]) -> None:
        alerts = {
            ("balance", "critical"): self._metrics.balance_critical,
            ("balance", "warning"): self._metrics.balance_warning,
            ("stake", "critical"): self._metrics.stake_critical,
            ("stake", "warning"): self._metrics.stake_warning,
        }
        if level:
            alerts[what, level].bind(supplier).value += 1
        before = self._told.get((supplier, what), "")
        self._told[supplier, what] = level
        if level == before:
            return
        if not level:
            _log.info(f"{what} is well again", supplier=supplier, **facts)
        else:
            tell = _log.error if level == "critical" else _log.warning
            tell(_WORDS[what], supplier=supplier, level_of_alarm=level, **facts)


def _amount(text: str) -> int:
    """A coin's amount; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() else 0


class BalanceMetrics:
    """Families of the monitor; names are those of the Go miner where it has them."""

    def __init__(self, metrics: Metrics) -> None:
        labels = ("supplier",)
        prefix = "ha_miner_supplier"
        self.balance = metrics.gauge(
            f"{prefix}_balance_upokt", "Of the operator's account, uPOKT.", labels
        )
        self.stake = metrics.gauge(f"{prefix}_stake_upokt", "Staked, uPOKT.", labels)
        self.balance_status = metrics.gauge(
            f"{prefix}_balance_health_status", "0 critical, 1 low, 2 well.", labels
        )
        self.stake_ratio = metrics.gauge(
            f"{prefix}_stake_health_ratio", "Stake over minimum stake.", labels
        )
        self.balance_critical = metrics.counter(
            f"{prefix}_balance_critical_alerts", "Looks that found it critical.", labels
        )
        self.balance_warning = metrics.counter(
            f"{prefix}_balance_warning_alerts", "Looks that found it low.", labels
        )
        self.stake_critical = metrics.counter(
            f"{prefix}_stake_critical_alerts", "Looks that found the stake critical.", labels
        )
        self.stake_warning = metrics.counter(
            f"{prefix}_stake_warning_alerts", "Looks that found the stake low.", labels
        )
        self.errors = metrics.counter(
            "ha_miner_supplier_monitor_errors", "Looks that failed.", (*labels, "error_type")
        )
        self.fee_hours = metrics.gauge(
            "relayminer_supplier_fee_hours_left",
            "Hours for which the balance pays the fees, at the pace of the last day.",
            labels,
        )
        self.missable = metrics.gauge(
            "relayminer_supplier_missable_proofs",
            "Proofs that may be missed before the stake is below its minimum.",
            labels,
        )
