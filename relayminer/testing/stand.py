"""Where a transport is tried: a relayer, its store, its chain and its backend."""

from __future__ import annotations

import json
import os
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import define, frozen

from relayminer.config.entrance import TlsSettings
from relayminer.protocol.mined_relay import MinedRelay, decode_mined_relay
from relayminer.testing.driver import ConnectRefusedError, Reply
from relayminer.testing.parties import Parties
from relayminer.testing.relayer import bench, settings
from relayminer.testing.small_chain import SERVICE, SmallChain
from relayminer.testing.store import fresh_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from relayminer.plugin import Transport
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames
    from relayminer.testing.driver import Bodies, DrivenBackend, TransportDriver
    from relayminer.testing.relayer import Bench

HEIGHT = 15
AFTER_GRACE_HEIGHT = 22
PATIENCE_SECONDS = 20.0


def same_body(number: int) -> bytes:
    """A node that always says the same."""
    del number
    return b'{"jsonrpc":"2.0","id":1,"result":"0x1234"}'


def numbered_body(number: int) -> bytes:
    """A node that never says the same twice."""
    return b'{"jsonrpc":"2.0","id":1,"result":"%#x"}' % number


@frozen(kw_only=True)
class Wanted:
    """What a check needs of its stand. Sizes in bytes, times in seconds."""

    bodies: Bodies = numbered_body
    max_body_bytes: int = 1_000_000
    drain_seconds: float = 10.0


class Relayer(Protocol):
    """The relayer of a stand, in this process or in another."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        ...

    @property
    def process_id(self) -> int:
        """Whose memory to look at."""
        ...

    async def end_session(self) -> None:
        """Let the chain go on until the session and its grace period are over."""
        ...

    def stop(self) -> None:
        """Ask for an orderly end."""
        ...

    async def wait_stopped(self) -> None:
        """Return when it has ended."""
        ...


@define(eq=False)
class Stand:
    """A relayer that serves `driver`'s transport, with everything around it."""

    driver: TransportDriver
    parties: Parties
    relayer: Relayer
    backend: DrivenBackend
    redis: Redis
    names: KeyNames
    _numbers: int = 0

    def payload(self) -> bytes:
        """A payload that was not used before."""
        self._numbers += 1
        return self.driver.payload(self._numbers)

    def body(self) -> bytes:
        """The bytes of a fresh, good request."""
        return self.parties.body(self.payload())

    async def ask(self, body: bytes, service: str = "") -> Reply:
        """Send `body` over a connection of its own."""
        with trio.fail_after(PATIENCE_SECONDS):
            try:
                connection = await self.driver.connect(
                    self.relayer.address, service or self.parties.header.service_id
                )
            except ConnectRefusedError as refusal:
                return Reply(refusal=str(refusal), ended=True)
            try:
                await connection.send(body)
                return await connection.receive()
            finally:
                await connection.aclose()

    async def logged(self) -> list[MinedRelay]:
        """The relay log of the session's supplier."""
        entries = await self.redis.command(
            "XRANGE", self.names.stream_key(self.parties.supplier), "-", "+"
        )
        return [decode_mined_relay(fields[fields.index(b"data") + 1]) for _, fields in entries]

    async def consumed_upokt(self) -> int:
        """What the session's budget counter says; leases that were not given back included."""
        key = self.names.meter_consumed_key(self.parties.header.session_id, self.parties.supplier)
        return int(await self.redis.command("GET", key) or 0)

    async def limit_budget(self, relays: int) -> None:
        """Let the application's stake pay for so many relays; before the first one."""
        upokt = self.parties.cost_upokt * relays + self.parties.cost_upokt // 2
        await self.redis.command(
            "SET",
            self.names.service_factor_service_key(self.parties.header.service_id),
            json.dumps({"factor": upokt / self.parties.stake_upokt, "updated_at": 1}),
        )

    def memory_kib(self) -> int:
        """Resident memory of the relayer's process."""
        pages = int(Path(f"/proc/{self.relayer.process_id}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Stands(Protocol):
    """Where a check gets its stand from.

    Attributes:
        driver: of the transport that is tried.
        soak: whether the full counts are wanted.
    """

    @property
    def driver(self) -> TransportDriver:
        """Of the transport that is tried."""
        ...

    @property
    def soak(self) -> bool:
        """Whether the full counts are wanted."""
        ...

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Stand]:
        """A stand of its own for as long as the block."""
        ...


@define(eq=False)
class _InProcess:
    """A relayer in this very process."""

    bench: Bench

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.bench.address

    @property
    def process_id(self) -> int:
        """Ours."""
        return os.getpid()

    async def end_session(self) -> None:
        """Skip to the first height after the grace period."""
        self.bench.moment.observe(AFTER_GRACE_HEIGHT)

    def stop(self) -> None:
        """Cancel it, as the process would."""
        self.bench.relayer_scope.cancel()

    async def wait_stopped(self) -> None:
        """Return when it has ended."""
        await self.bench.relayer_stopped.wait()


@frozen
class LocalStands:
    """Stands in this process, on the small chain.

    Attributes:
        transports: instead of those that are installed.
        tls: of the front door; the driver must speak it.
    """

    driver: TransportDriver
    soak: bool = False
    transports: Sequence[Transport] | None = None
    tls: TlsSettings | None = None

    @asynccontextmanager
    async def open(self, wanted: Wanted) -> AsyncIterator[Stand]:
        """A stand of its own for as long as the block."""
        chain = SmallChain()
        backend = self.driver.backend(wanted.bodies)
        configure = partial(
            settings,
            backend_type=self.driver.backend_type,
            max_body_bytes=wanted.max_body_bytes,
            service={"max_body_bytes": wanted.max_body_bytes},
            drain_seconds=wanted.drain_seconds,
            tls=self.tls or TlsSettings(),
        )
        async with (
            fresh_store() as url,
            bench(
                url,
                chain=chain,
                node=backend,
                height=HEIGHT,
                transports=None if self.transports is None else list(self.transports),
                configure=configure,
            ) as running,
        ):
            yield Stand(
                self.driver,
                small_parties(chain),
                _InProcess(running),
                backend,
                running.redis,
                running.names,
            )


def small_parties(chain: SmallChain) -> Parties:
    """The session of the small chain at `HEIGHT`."""
    supplier = chain.supplier_keys[0]
    return Parties(
        header=chain.header(HEIGHT, SERVICE),
        ring=tuple(chain.ring),
        gateway_key=chain.gateway_key,
        supplier=supplier.address,
        supplier_public_key=supplier.public_key,
        cost_upokt=4_200,
        stake_upokt=chain.stake_upokt,
    )
