"""One look at everything: what the pages show, as plain data.

It is read from the store, so that any process shows the whole fleet; only what this process alone
knows (its readiness, its backends) comes from itself.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio
from attrs import define, field, frozen

from relayminer.console.accounts import RunningAccounts
from relayminer.protocol.reward import root_count, root_sum
from relayminer.state.errors import StateError
from relayminer.state.log_reader import LogReader
from relayminer.state.sessions import SessionStore
from relayminer.state.snapshots import ROOT_BYTES
from relayminer.state.suppliers import SupplierStates
from relayminer.story.earnings import report
from relayminer.story.forecast import Prices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.cache.moment import ChainMoment
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.state.snapshots import Snapshot
    from relayminer.story.forecast import PriceChain
    from relayminer.telemetry.health import Health

MAX_SUPPLIERS: Final = 1_000
"""Shown; the totals count all."""
MAX_SESSIONS: Final = 2_000
PRICES_SECONDS: Final = 60.0
_READER = "console"


@frozen
class Sources:
    """Where the pages look.

    Attributes:
        redis: the running gateway; only read from.
        names: its key names.
        chain: asked what compute units are worth, and when windows are.
        moment: the present height.
        health: of this process.
        backends: service -> its backends as `/ready/{service}` shows them; of this process.
        relays_served: by this process since it started.
        about: fixed facts: chain id, roles, owner.
    """

    redis: Redis
    names: KeyNames
    chain: PriceChain
    moment: ChainMoment
    health: Health
    backends: Callable[[], dict[str, Any]]
    relays_served: Callable[[], int]
    about: dict[str, Any]


@define
class Overview:
    """Looks, again and again; what has not changed since is not read again."""

    sources: Sources
    _accounts: RunningAccounts = field(init=False)
    _prices: Prices = field(init=False)
    _prices_asked_at: float = field(default=-math.inf, init=False)

    def __attrs_post_init__(self) -> None:
        self._accounts = RunningAccounts(self.sources.redis, self.sources.names)
        self._prices = Prices(None)

    async def look(self) -> dict[str, Any]:
        """What there is now; with the store away, what is known without it."""
        found = self._here()
        try:
            found |= await self._stored()
        except StateError as error:
            found["store_problem"] = str(error)
        return found

    def _here(self) -> dict[str, Any]:
        sources = self.sources
        return {
            "now_unix_seconds": round(time.time(), 1),
            "node": {
                **sources.about,
                "height": sources.moment.height,
                "relays_served": sources.relays_served(),
                "problems": sources.health.problems(),
                "details": sources.health.details(),
            },
            "services": sources.backends(),
            "store_problem": "",
        }

    async def _stored(self) -> dict[str, Any]:
        sources = self.sources
        if trio.current_time() - self._prices_asked_at > PRICES_SECONDS:
            # Asked anew: what the chain did not say then it may say now.
            self._prices, self._prices_asked_at = Prices(sources.chain), trio.current_time()
        states = await SupplierStates(sources.redis, sources.names).all()
        await self._accounts.refresh()
        addresses = sorted({state.operator_address for state in states} | self._accounts.suppliers)
        shown = addresses[:MAX_SUPPLIERS]
        owners = await self._owners(shown)
        earned = report(self._accounts.all, "supplier")
        sessions, open_by_supplier = await self._sessions(shown)
        amounts = {group.name: group for group in earned.groups}
        services = {state.operator_address: state for state in states}
        rows = []
        for address in shown:
            state, money = services.get(address), amounts.get(address)
            backlog = await LogReader(sources.redis, sources.names, _READER).backlog(address)
            rows.append(
                {
                    "address": address,
                    "services": list(state.services or ()) if state else [],
                    "status": state.status if state else "unknown",
                    "owner": owners.get(address, ""),
                    "waiting": backlog.entries,
                    "pending": backlog.pending,
                    "open_sessions": open_by_supplier.get(address, 0),
                    "earned_upokt": money.earned_upokt if money else 0,
                    "lost_upokt": sum(money.losses.values()) if money else 0,
                    "fees_upokt": money.fees_upokt if money else 0,
                }
            )
        return {
            "leader": await self._leader(),
            "suppliers": rows,
            "suppliers_total": len(addresses),
            "sessions": sessions,
            "earnings": {
                "total": earned.total.as_json(),
                "by_service": [
                    group.as_json() for group in report(self._accounts.all, "service").groups
                ],
            },
        }

    async def _owners(self, suppliers: Sequence[str]) -> dict[str, str]:
        keys = [self.sources.names.miner_claim_key(supplier) for supplier in suppliers]
        found = await self.sources.redis.pipeline([("GET", key) for key in keys])
        return {
            supplier: owner.decode(errors="replace")
            for supplier, owner in zip(suppliers, found, strict=True)
            if owner
        }

    async def _leader(self) -> dict[str, Any]:
        key = self.sources.names.global_leader_key
        owner, remaining = await self.sources.redis.pipeline([("GET", key), ("PTTL", key)])
        name = owner.decode(errors="replace") if owner else ""
        return {"owner": name, "remaining_seconds": max(0, remaining) / 1000}

    async def _sessions(
        self, suppliers: Sequence[str]
    ) -> tuple[list[dict[str, Any]], dict[str, int]]:
        store = SessionStore(self.sources.redis, self.sources.names, ttl_seconds=1)
        snapshots: list[Snapshot] = []
        open_by_supplier: dict[str, int] = {}
        for supplier in suppliers:
            found = (await store.load_all(supplier)).sessions
            open_by_supplier[supplier] = sum(not one.is_terminal for one in found)
            snapshots.extend(found)
        snapshots.sort(key=lambda one: (-one.session_end_height, one.supplier_operator_address))
        shown = await self._as_stored(snapshots[:MAX_SESSIONS])
        return [await self._session(one) for one in shown], open_by_supplier

    async def _as_stored(self, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
        """The same with what their tries hold: records of open sessions say what ever was there."""
        names = self.sources.names
        still_open = [one for one in snapshots if not one.is_terminal and one.relay_count]
        roots = await self.sources.redis.get_many(
            [
                names.smst_live_root_key(one.supplier_operator_address, one.session_id)
                for one in still_open
            ]
        )
        held = {
            (one.supplier_operator_address, one.session_id): root
            for one, root in zip(still_open, roots, strict=True)
            if root and len(root) == ROOT_BYTES
        }
        found = []
        for one in snapshots:
            root = held.get((one.supplier_operator_address, one.session_id))
            found.append(
                one
                if root is None
                else attrs.evolve(
                    one, relay_count=root_count(root), total_compute_units=root_sum(root)
                )
            )
        return found

    async def _session(self, snapshot: Snapshot) -> dict[str, Any]:
        prices = self._prices
        windows = await prices.windows(snapshot.session_end_height)
        worth = await prices.upokt(
            snapshot.service_id, snapshot.session_start_height, snapshot.total_compute_units
        )
        account = self._accounts.of(snapshot)
        return {
            "id": snapshot.session_id,
            "supplier": snapshot.supplier_operator_address,
            "service": snapshot.service_id,
            "application": snapshot.application_address,
            "start": snapshot.session_start_height,
            "end": snapshot.session_end_height,
            "state": snapshot.state,
            "outcome": account.outcome if account else "open",
            "relays": snapshot.relay_count,
            "worth_upokt": worth,
            "earned_upokt": account.earned_upokt if account else 0,
            "windows": None if windows is None else attrs.asdict(windows),
        }
