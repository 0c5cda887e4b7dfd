"""What an operator looks into a process with: the console and the debug endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.config.document import Document
from relayminer.config.shown import shown_settings
from relayminer.console.overview import Sources
from relayminer.console.service import Console
from relayminer.insight.notify import Notifier
from relayminer.insight.service import DebugPlane

if TYPE_CHECKING:
    from relayminer.app import Foundation
    from relayminer.relayer.service import RelayerService
    from relayminer.reload import LiveKeys
    from relayminer.roles import Role
    from relayminer.service import ServiceGroup


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
            Notifier(base.settings.notify, base.metrics, base.health, process=base.owner)
        )


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
