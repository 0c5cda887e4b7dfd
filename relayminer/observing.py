"""What an operator looks into a process with: the console and the debug endpoint."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from relayminer.config.document import Document
from relayminer.config.shown import shown_settings
from relayminer.console.overview import Sources
from relayminer.console.service import Console
from relayminer.insight.fleet import Fleet
from relayminer.insight.notify import Notifier
from relayminer.insight.service import DebugPlane
from relayminer.state.notices import NoticeWords
from relayminer.telemetry.spans import Traces

if TYPE_CHECKING:
    from relayminer.app import Foundation
    from relayminer.config.tracing import TracingSettings
    from relayminer.relayer.service import RelayerService
    from relayminer.reload import LiveKeys
    from relayminer.roles import Role
    from relayminer.service import ServiceGroup
    from relayminer.telemetry.metrics import Metrics


async def start_observing(
    base: Foundation,
    group: ServiceGroup,
    roles: frozenset[Role],
    keys: LiveKeys,
    relayer: RelayerService | None,
) -> None:
    """Start what the settings ask for."""
    if base.settings.console.enabled:
        await group.start(_console(base, roles, relayer))
    if base.settings.debug.enabled:
        await group.start(_debug_plane(base, roles, keys, relayer))
    if base.settings.notify.webhook_url:
        await group.start(
            Notifier(
                base.settings.notify,
                base.metrics,
                base.health,
                process=base.owner,
                fleet=Fleet(NoticeWords(base.redis, base.names, base.owner)),
            )
        )


def traces_of(settings: TracingSettings, metrics: Metrics) -> Traces | None:
    """Where spans wait to be sent; None when relays are not traced."""
    if not settings.enabled:
        return None
    return Traces(settings.ratio, settings.max_waiting_spans, metrics)


async def start_tracing(base: Foundation, group: ServiceGroup) -> None:
    """Start sending spans, before anybody makes any: it stops after them all."""
    if base.traces is not None:
        # Its messages are loaded only where they are used.
        from relayminer.insight.traces import TraceExporter  # noqa: PLC0415

        about = {"service.instance.id": base.owner, "service.version": version("relayminer")}
        await group.start(TraceExporter(base.settings.tracing, base.traces, about))


def _console(base: Foundation, roles: frozenset[Role], relayer: RelayerService | None) -> Console:
    sources = Sources(
        redis=base.redis,
        names=base.names,
        chain=base.queries,
        moment=base.moment,
        health=base.health,
        backends=dict if relayer is None else relayer.backends.pages,
        relays_served=lambda: 0 if relayer is None else int(relayer.metrics.served.total),
        about={
            "chain_id": base.settings.chain.chain_id,
            "roles": sorted(role.value for role in roles),
            "owner": base.owner,
        },
    )
    return Console(base.settings.console, sources)


def _debug_plane(
    base: Foundation, roles: frozenset[Role], keys: LiveKeys, relayer: RelayerService | None
) -> DebugPlane:
    def state() -> dict[str, Any]:
        return {
            "owner": base.owner,
            "roles": sorted(role.value for role in roles),
            "height": base.moment.height,
            "suppliers": list(keys.addresses),
            "store_connected": base.redis.is_connected,
            "problems": base.health.problems(),
            "details": base.health.details(),
            "services": {} if relayer is None else relayer.backends.pages(),
        }

    def config() -> dict[str, Any]:
        document = Document("configuration")
        return {one.key: one.value for one in shown_settings(base.settings, document)}

    return DebugPlane(base.settings.debug, state, config)
