"""What a person should be told of, read from the metrics and the health of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Labels, Metrics

CRITICAL: Final = "critical"
WARNING: Final = "warning"
WELL: Final = 2.0
"""`ha_miner_supplier_balance_health_status` of an account that can pay."""

Key = tuple[str, str]
"""Event and subject: what a notice is about."""


@frozen
class Trouble:
    """Something that is so now."""

    severity: str
    text: str


@frozen
class Happening:
    """Something that has happened, so many times since it was last asked about."""

    key: Key
    times: float
    what: str


_COUNTED: Final = (
    ("slashed", "ha_miner_supplier_slashed", "penalties"),
    ("lost", "ha_miner_sessions_failed", "sessions without reward"),
    ("relays lost", "ha_miner_relays_lost", "relays without reward"),
    ("expired", "ha_miner_claims_expired_by_reason", "claims expired"),
)
_HEALTH: Final = (
    ("store away", "store", CRITICAL),
    ("store unsafe", "store safety", CRITICAL),
    ("loop stalled", "loops", WARNING),
    ("chain height", "chain height", CRITICAL),
)


@define
class Conditions:
    """Looks at a process."""

    metrics: Metrics
    health: Health
    at_risk_seconds: float
    _counted: dict[tuple[str, Labels], float] = field(factory=dict, init=False)
    _risk_since: dict[Labels, float] = field(factory=dict, init=False)

    def happened(self) -> Iterator[Happening]:
        """What the counters have counted since the last time."""
        for event, name, what in _COUNTED:
            for labels, value in self.metrics.values(name).items():
                more = value - self._counted.get((name, labels), 0.0)
                self._counted[name, labels] = value
                if more > 0:
                    yield Happening((event, " ".join(labels)), more, what)

    def troubles(self, now: float) -> dict[Key, Trouble]:
        """What is wrong at this moment; `now` on a monotonic clock, in seconds."""
        found: dict[Key, Trouble] = {}
        problems = self.health.problems()
        for event, check, severity in _HEALTH:
            if check in problems:
                found[event, ""] = Trouble(severity, problems[check])
        for labels, usable in self.metrics.values("relayminer_chain_node_usable").items():
            if not usable:
                found["chain node", " ".join(labels)] = Trouble(WARNING, "cannot be used now")
        hours = self.metrics.values("relayminer_supplier_fee_hours_left")
        status = self.metrics.values("ha_miner_supplier_balance_health_status")
        for labels, level in status.items():
            if level < WELL:
                left = f"pays fees for {hours[labels]:.0f} hours" if labels in hours else "is low"
                found["fees", labels[0]] = Trouble(
                    WARNING if level else CRITICAL, f"the operator's balance {left}"
                )
        found.update(self._risks(now))
        return found

    def _risks(self, now: float) -> Iterator[tuple[Key, Trouble]]:
        """Windows whose money has been missing on chain for too long."""
        risks: Mapping[Labels, float] = self.metrics.values("relayminer_upokt_at_risk")
        open_now = {labels for labels, upokt in risks.items() if upokt > 0}
        for labels in [one for one in self._risk_since if one not in open_now]:
            del self._risk_since[labels]
        for labels in open_now:
            since = self._risk_since.setdefault(labels, now)
            if now - since >= self.at_risk_seconds:
                text = f"{risks[labels]:.0f} uPOKT are not on chain in the open window"
                yield ("window at risk", " ".join(labels)), Trouble(CRITICAL, text)
