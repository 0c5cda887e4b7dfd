"""Service factors: written by the leader for all relayers, and again before they run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.state.service_factors import ServiceFactorStore
    from relayminer.watchdog import Pulse

REPEAT_SECONDS: Final = 30.0
"""Well within the life of the entries; a store that lost them has them back so soon."""

_log = structlog.get_logger("relayminer.cache")


class FactorPublisher:
    """Keeps the factors of the settings in the store.

    Args:
        store: Where they are.
        default: Of services without one of their own; 0 for none.
        services: By service id.
    """

    def __init__(
        self, store: ServiceFactorStore, default: float, services: Mapping[str, float]
    ) -> None:
        self._store = store
        self._default = default
        self._services = services

    async def run(self, pulse: Pulse) -> None:
        """Publish until cancelled."""
        while True:
            pulse.got_on()
            try:
                await self._store.publish(self._default, self._services)
            except StateError as error:
                _log.warning("service_factors_not_published", reason=str(error))
            pulse.idle()
            await trio.sleep(REPEAT_SECONDS)
