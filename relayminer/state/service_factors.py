"""Service factors: what share of an application's stake a session may spend (state 1.5.5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames


class ServiceFactorStore:
    """Publishes and reads factors."""

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        ttl_seconds: int,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds
        self._now_seconds = now_seconds

    async def publish(self, default: float, services: Mapping[str, float]) -> None:
        """Writes all factors above zero and tells those who cache them; repeat it in time."""
        commands: list[Sequence[Any]] = []
        if default > 0:
            commands += self._write(self._names.service_factor_default_key, default, {})
        for service_id, factor in services.items():
            if factor > 0:
                key = self._names.service_factor_service_key(service_id)
                commands += self._write(key, factor, {"service_id": service_id})
        await self._redis.pipeline(commands)

    async def read(self, service_id: str) -> float | None:
        """The factor of a service, else the default one, else None.

        Raises:
            UnreadableValueError: the stored factor has another form.
        """
        found = await self._redis.get_many(
            [
                self._names.service_factor_service_key(service_id),
                self._names.service_factor_default_key,
            ]
        )
        data = next((one for one in found if one is not None), None)
        return None if data is None else parse_factor(data)

    def _write(self, key: str, factor: float, event: dict[str, str]) -> list[Sequence[Any]]:
        channel = self._names.event_channel("service_factor", "invalidate")
        return [
            ("SET", key, factor_json(factor, int(self._now_seconds())), "EX", self._ttl_seconds),
            ("PUBLISH", channel, gojson.dumps(event)),
        ]


def factor_json(factor: float, updated_at: int) -> bytes:
    """The stored form of a factor; `updated_at` in seconds since 1970."""
    return gojson.dumps({"factor": float(factor), "updated_at": updated_at})


def parse_factor(data: bytes) -> float:
    """A factor from its stored form; raises UnreadableValueError."""
    try:
        return float(gojson.loads_object(data)["factor"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a service factor: {error}") from error
