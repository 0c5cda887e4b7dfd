"""The services of a mining process, put together: the miner, the look at its money, its shadow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from relayminer.chain.client import TxClient
from relayminer.miner.balances import Balances
from relayminer.miner.service import MinerService
from relayminer.miner.shadow import (
    Comparison,
    ShadowError,
    ShadowTee,
    Silence,
    shadow_names,
)
from relayminer.relayer.spool_left import LeftSpools
from relayminer.relayer.spool_service import SPOOL
from relayminer.roles import Role
from relayminer.state.ledger import Ledger

if TYPE_CHECKING:
    from relayminer.app import Foundation
    from relayminer.miner.interfaces import Transactions
    from relayminer.relayer.service import RelayerService
    from relayminer.reload import LiveKeys
    from relayminer.service import ServiceGroup

WITNESS: Final = "witness"


async def save_left(
    base: Foundation,
    group: ServiceGroup,
    roles: frozenset[Role],
    relayer: RelayerService | None,
) -> None:
    """Log what dead relayers of this home left on disk: before a miner seals its sessions."""
    settings = base.settings
    if relayer is not None:
        await relayer.save_left()
        return
    mines = Role.MINER in roles and not settings.miner.shadow
    if mines and settings.relayer.when_store_away == SPOOL:
        await group.start(
            LeftSpools(
                settings.relayer,
                settings.home,
                store=base.redis,
                names=base.names,
                moment=base.moment,
                metrics=base.metrics,
                loops=base.watchdog,
            )
        )


async def start_mining(
    base: Foundation, group: ServiceGroup, keys: LiveKeys, roles: frozenset[Role]
) -> MinerService:
    """Start mining, for real or as a shadow.

    Raises:
        ShadowError: a shadow with another role: it would act for the fleet that it watches.
    """
    names, shadow = base.names, None
    transactions: Transactions = TxClient(
        base.queries,
        base.settings.transactions,
        base.settings.chain.chain_id,
        now_ns=lambda: _chain_time_ns(base),
    )
    if base.settings.miner.shadow:
        if roles != {Role.MINER}:
            raise ShadowError("miner.shadow is for a process of its own: run it with --roles miner")
        names, transactions = shadow_names(base.names), Silence()
        shadow = Comparison(base.redis, base.names, base.metrics)
        tee = ShadowTee(base.redis, base.names, lambda: list(keys), base.follower, base.metrics)
        await group.start(tee)
    miner = MinerService(
        base.settings,
        keys,
        redis=base.redis,
        names=names,
        chain=base.queries,
        blocks=base.follower,
        transactions=transactions,
        metrics=base.metrics,
        owner=base.owner,
        watchdog=base.watchdog,
        shadow=shadow,
        witness_home=base.settings.home.expanduser() / WITNESS,
        # A shadow is no part of a relay's life.
        traces=None if base.settings.miner.shadow else base.traces,
    )
    await group.start(miner)
    await group.start(
        Balances(
            base.queries,
            Ledger(base.redis, names),
            base.settings.miner.balance,
            lambda: list(keys),
            base.metrics,
        )
    )
    return miner


def _chain_time_ns(base: Foundation) -> int:
    """The chain's clock: the time of its last block, or ours before the first one."""
    block = base.follower.latest
    return time.time_ns() if block is None else block.time_ns
