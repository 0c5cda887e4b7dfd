"""What the operator sees of the spool."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.telemetry.metrics import Metrics

_PREFIX = "ha_relayer_spool_"


class SpoolMetrics:
    """All families of the spool; the gauges are read from it."""

    def __init__(self, metrics: Metrics) -> None:
        gauge, counter, p = metrics.gauge, metrics.counter, _PREFIX
        self.depth = gauge(p + "relays", "Relays that wait on disk for the log").bind()
        self.size = gauge(p + "bytes", "What they take on disk").bind()
        self.age = gauge(p + "oldest_age_seconds", "How long the oldest has waited").bind()
        self.away = gauge(p + "store_away", "1 while relays are not logged directly").bind()
        self.written = counter(p + "written_relays", "Relays synced to disk").bind()
        self.replayed = counter(p + "replayed_relays", "Relays that reached the log").bind()
        self.known = counter(
            p + "known_relays", "Relays that were in the log already when they were replayed"
        ).bind()
        self.full = counter(p + "full", "Relays refused because the spool is full").bind()
        self.failed = counter(p + "write_errors", "Relays refused: the disk did not sync").bind()
        self.publish_errors = counter(
            "ha_transport_redis_publish_errors",
            "Relays that the store did not confirm; they are spooled or refused",
            ("supplier_addr", "service_id"),
        )
        self.damaged_bytes = counter(
            p + "damaged_bytes", "Synced once and not readable any more"
        ).bind()
        self.late = counter(
            p + "late_relays", "Replayed after their claim window had opened", ("service_id",)
        )
        self.lost = counter(
            p + "lost_relays", "Answered, and not to be paid", ("service_id", "reason")
        )
        self.lost_upokt = counter(
            p + "lost_upokt", "What they took from budgets", ("service_id", "reason")
        )
