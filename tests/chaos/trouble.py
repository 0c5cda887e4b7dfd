"""Making trouble: processes killed and stopped, the store taken away, the chain made a bad one."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from relayminer.demo.children import DemoError
from relayminer.devnet.errors import DevnetError
from tests.chaos.plan import Kind, Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.demo.children import Child
    from tests.chaos.chain import ChainControl
    from tests.spool.outage import Store

SPARED_SECONDS = 7.0
"""One miner at least is left alone for so long: with nobody there, nothing could be claimed. And so
long a relayer lives that was killed."""
REFUSALS = (("sdk", 20, "mempool is full"), ("sdk", 13, "insufficient fee"))
CHAIN_FAULTS = {
    Kind.CHAIN_STALLS: ("stalled", True, False),
    Kind.CHAIN_DELAYS: ("delay_txs", 2, 0),
    Kind.CHAIN_SHUFFLES: ("shuffle", 7, None),
    Kind.CHAIN_LAGS: ("lag_blocks", 2, 0),
    Kind.CHAIN_SLOW: ("delay_seconds", 0.2, 0.0),
    Kind.RPC_DOWN: ("rpc_down", True, False),
    Kind.GRPC_DOWN: ("grpc_down", True, False),
}
"""Fault, its value while it lasts, and afterwards."""


@define
class Troublemaker:
    """Does what the plan says.

    Attributes:
        done: how often each kind happened.
        last: what happened last, for the progress line.
    """

    relayers: Sequence[Child]
    miners: Sequence[Child]
    store: Store
    control: ChainControl
    done: Counter[Kind] = field(factory=Counter)
    last: str = "nothing yet"
    _hurt_until: dict[int, float] = field(factory=dict)
    _killed_at: dict[str, float] = field(factory=dict)
    _in_force: Counter[Kind] = field(factory=Counter)
    _store_lock: trio.Lock = field(factory=trio.Lock)

    @property
    def kills(self) -> int:
        """Processes that were ended by `kill -9`."""
        return sum(
            self.done[kind] for kind in (Kind.KILL_RELAYER, Kind.KILL_MINER, Kind.KILL_STORE)
        )

    async def run(self, plan: Sequence[Trouble]) -> None:
        """All troubles, each at its time; returns when the last is over."""
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for trouble in plan:
                await trio.sleep_until(start + trouble.at_seconds)
                nursery.start_soon(self._happen, trouble)

    async def _happen(self, trouble: Trouble) -> None:
        kind = trouble.kind
        self.last = kind.value
        match kind:
            case Kind.KILL_RELAYER | Kind.STOP_RELAYER:
                await self._hurt_relayer(trouble)
            case Kind.KILL_MINER | Kind.STOP_MINER:
                await self._hurt_miner(trouble)
            case Kind.KILL_STORE | Kind.STOP_STORE:
                await self._hurt_store(trouble)
            case _:
                await self._hurt_chain(trouble)

    async def _hurt_relayer(self, trouble: Trouble) -> None:
        child = self.relayers[trouble.target % len(self.relayers)]
        if trouble.kind is Kind.STOP_RELAYER:
            await self._stop(child, trouble)
            return
        # What it answered while the store was away is on its disk only, until it lives again.
        now = trio.current_time()
        if self._killed_at.get(child.name, -SPARED_SECONDS) + SPARED_SECONDS < now:
            self._killed_at[child.name] = now
            child.kill()
            self.done[trouble.kind] += 1

    async def _hurt_miner(self, trouble: Trouble) -> None:
        number = trouble.target % len(self.miners)
        now = trio.current_time()
        well = [
            other
            for other in range(len(self.miners))
            if other != number and self._hurt_until.get(other, 0.0) <= now
        ]
        if not well:
            return
        self._hurt_until[number] = now + trouble.seconds + SPARED_SECONDS
        if trouble.kind is Kind.STOP_MINER:
            await self._stop(self.miners[number], trouble)
        else:
            self.miners[number].kill()
            self.done[trouble.kind] += 1

    async def _stop(self, child: Child, trouble: Trouble) -> None:
        """SIGSTOP, and SIGCONT after a while, to the process that it was then."""
        pid = child.pid
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return
        self.done[trouble.kind] += 1
        try:
            await trio.sleep(trouble.seconds)
        finally:
            # Killed meanwhile, it is gone.
            if child.pid == pid:
                os.kill(pid, signal.SIGCONT)

    async def _hurt_store(self, trouble: Trouble) -> None:
        async with self._store_lock:
            self.done[trouble.kind] += 1
            if trouble.kind is Kind.STOP_STORE:
                self.store.freeze()
                try:
                    await trio.sleep(trouble.seconds)
                finally:
                    self.store.thaw()
                return
            with trio.CancelScope(shield=True):
                await self.store.kill()
                await trio.sleep(trouble.seconds)
                await self.store.start()

    async def _hurt_chain(self, trouble: Trouble) -> None:
        kind = trouble.kind
        self.done[kind] += 1
        if kind is Kind.CHAIN_REFUSES:
            codespace, code, log = REFUSALS[trouble.target % len(REFUSALS)]
            await self._fault(
                refuse_txs={"count": 2, "codespace": codespace, "code": code, "log": log}
            )
        elif kind is Kind.CHAIN_LOSES:
            await self._fault(lose_txs=1 + trouble.target % 2)
        elif kind is Kind.CHAIN_DROPS:
            await self._fault(drop_blocks=1 + trouble.target % 3)
        else:
            fault, value, afterwards = CHAIN_FAULTS[kind]
            self._in_force[kind] += 1
            try:
                await self._fault(**{fault: value})
                await trio.sleep(trouble.seconds)
            finally:
                self._in_force[kind] -= 1
                if not self._in_force[kind]:
                    with trio.CancelScope(shield=True):
                        await self._fault(**{fault: afterwards})

    async def _fault(self, **faults: object) -> None:
        for _ in range(20):
            try:
                await self.control.fault(**faults)
            except (DevnetError, OSError, trio.BrokenResourceError, trio.TooSlowError):
                await trio.sleep(0.1)
            else:
                return
        raise DemoError(f"the chain's control does not answer: {faults}")
