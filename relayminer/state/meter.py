"""Session budgets in the store: what they were computed from, and what is spent (state 1.5.2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import attrs

from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError
from relayminer.state.scripting import load_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

CREATE: Final = load_script("meter_create")
TAKE: Final = load_script("meter_take")
GIVE_BACK: Final = load_script("meter_give_back")
SEPARATOR: Final = "|"


@attrs.frozen(kw_only=True)
class MeterMeta:
    """What a session's budget for one supplier was computed from.

    Attributes:
        max_stake_upokt: the budget.
        created_at: seconds since 1970.
        created_with_factor: service factor, 0 for none.
        created_with_app_stake: the application's stake in uPOKT.
    """

    session_id: str
    app_address: str
    service_id: str
    supplier_address: str
    session_end_height: int
    max_stake_upokt: int
    created_at: int = 0
    created_with_factor: float = 0.0
    created_with_app_stake: int = 0


@attrs.frozen
class Grant:
    """How many relays may be served now, and what is consumed of the budget then (uPOKT)."""

    relays: int
    consumed_upokt: int


def meter_meta_json(meta: MeterMeta) -> bytes:
    """The stored form."""
    return gojson.dumps(attrs.asdict(meta))


def parse_meter_meta(data: bytes) -> MeterMeta:
    """From the stored form; raises UnreadableValueError."""
    value = gojson.loads_object(data)
    try:
        return MeterMeta(
            session_id=str(value["session_id"]),
            app_address=str(value["app_address"]),
            service_id=str(value["service_id"]),
            supplier_address=str(value["supplier_address"]),
            session_end_height=int(value["session_end_height"]),
            max_stake_upokt=int(value["max_stake_upokt"]),
            created_at=int(value.get("created_at") or 0),
            created_with_factor=float(value.get("created_with_factor") or 0),
            created_with_app_stake=int(value.get("created_with_app_stake") or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a session meter: {error}") from error


def cleanup_payload(session_id: str, supplier: str) -> str:
    """The message that a session's meter may go."""
    return f"{session_id}{SEPARATOR}{supplier}"


def parse_cleanup(payload: bytes) -> tuple[str, str] | None:
    """Session id and supplier of such a message; None when one of them is missing."""
    session_id, _, supplier = payload.decode(errors="replace").partition(SEPARATOR)
    return (session_id, supplier) if session_id and supplier else None


class MeterStore:
    """The shared counters of session budgets."""

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

    async def open(self, meta: MeterMeta) -> MeterMeta:
        """Opens a meter; returns what is stored: `meta`, or that of whoever opened it before."""
        stamped = attrs.evolve(meta, created_at=int(self._now_seconds()))
        data = await self._redis.script(
            CREATE,
            (
                *self._keys(meta.session_id, meta.supplier_address),
                self._names.meter_active_sessions_of(meta.supplier_address),
            ),
            (
                meter_meta_json(stamped),
                self._ttl_seconds,
                cleanup_payload(meta.session_id, meta.supplier_address),
            ),
        )
        return parse_meter_meta(data)

    async def replace(self, meta: MeterMeta) -> None:
        """Writes a budget that was computed anew; what is consumed and the lives stay."""
        key = self._keys(meta.session_id, meta.supplier_address)[0]
        await self._redis.command("SET", key, meter_meta_json(meta), "KEEPTTL")

    async def read(self, session_id: str, supplier: str) -> MeterMeta | None:
        """The stored budget, if any; raises UnreadableValueError."""
        data = await self._redis.command("GET", self._keys(session_id, supplier)[0])
        return None if data is None else parse_meter_meta(data)

    async def take(
        self, session_id: str, supplier: str, *, cost_upokt: int, relays: int, max_upokt: int
    ) -> Grant:
        """Reserves budget for up to `relays` relays; what is not used is given back later.

        Args:
            session_id: which session.
            supplier: operator address.
            cost_upokt: of one relay.
            relays: how many at most.
            max_upokt: the budget.
        """
        granted, consumed = await self._redis.script(
            TAKE,
            (self._keys(session_id, supplier)[1],),
            (cost_upokt, relays, max_upokt, self._ttl_seconds),
        )
        return Grant(int(granted), int(consumed))

    async def give_back(self, session_id: str, supplier: str, amount_upokt: int) -> int:
        """Gives back what was reserved and not used; returns what is consumed then (uPOKT)."""
        key = self._keys(session_id, supplier)[1]
        return int(await self._redis.script(GIVE_BACK, (key,), (amount_upokt,)))

    async def consumed(self, session_id: str, supplier: str) -> int:
        """What is consumed of a budget (uPOKT)."""
        return int(await self._redis.command("GET", self._keys(session_id, supplier)[1]) or 0)

    async def clear(self, session_id: str, supplier: str) -> None:
        """Removes a meter."""
        await self._redis.transaction(
            [
                ("DEL", *self._keys(session_id, supplier)),
                (
                    "SREM",
                    self._names.meter_active_sessions_of(supplier),
                    cleanup_payload(session_id, supplier),
                ),
            ]
        )

    async def publish_cleanup(self, session_id: str, supplier: str) -> None:
        """Tells the relayers that a session is over and its meter may go."""
        await self._redis.command(
            "PUBLISH", self._names.meter_cleanup_channel, cleanup_payload(session_id, supplier)
        )

    def _keys(self, session_id: str, supplier: str) -> tuple[str, str]:
        """Meta, consumed."""
        return (
            self._names.meter_meta_key(session_id, supplier),
            self._names.meter_consumed_key(session_id, supplier),
        )
