"""A relayer with a real store, real sockets and real signatures, on a chain that fits in a file."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio
from relayminer_plugins.caches.entities import AccountCache, ApplicationCache, ServiceCache
from relayminer_plugins.caches.params import (
    ProofParamsCache,
    SessionParamsCache,
    SharedParamsAtCache,
    SharedParamsCache,
)
from relayminer_plugins.caches.registry import ServiceFactorCache, SupplierCache
from relayminer_plugins.caches.sessions import ComputeUnitsCache, DifficultyCache, SessionCache
from relayminer_plugins.http.transport import HttpTransport

from relayminer.cache.caches import Caches
from relayminer.cache.metrics import CacheMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.config.settings import (
    BackendSettings,
    MeteringSettings,
    RelayerSettings,
    ServiceSettings,
)
from relayminer.net.errors import WireError
from relayminer.net.http1 import HttpLimits, Request, RequestReader, response_bytes
from relayminer.net.watchdog import Watchdog
from relayminer.net.wire import Wire
from relayminer.relayer.service import RelayerService
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.telemetry.health import Health
from relayminer.telemetry.metrics import Metrics
from tests.relayer.small_chain import SERVICE, SmallChain, request_body, signed_request

if TYPE_CHECKING:
    from relayminer.plugin import Transport
    from relayminer.protocol.signature import SigningKey

CACHE_TYPES = (
    AccountCache,
    ApplicationCache,
    ComputeUnitsCache,
    DifficultyCache,
    ProofParamsCache,
    ServiceCache,
    ServiceFactorCache,
    SessionCache,
    SessionParamsCache,
    SharedParamsAtCache,
    SharedParamsCache,
    SupplierCache,
)
Answer = Callable[[Request], bytes]


def json_rpc(request: Request) -> bytes:
    """What a healthy node says."""
    del request
    return response_bytes(200, b'{"jsonrpc":"2.0","id":1,"result":"0x1234"}')


class Backend:
    """An HTTP/1.1 backend whose answers are a function of the request."""

    def __init__(self, answer: Answer = json_rpc, release: trio.Event | None = None) -> None:
        self.answer = answer
        self.release = release
        self.requests: list[Request] = []
        self.port = 0
        self.connections = 0
        self._watchdog = Watchdog()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled."""
        listener = socket.socket()
        listener.settimeout(0)
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                while True:
                    await trio.lowlevel.wait_readable(listener)
                    accepted, _ = listener.accept()
                    nursery.start_soon(self._serve, accepted)
        finally:
            listener.close()

    async def _serve(self, accepted: socket.socket) -> None:
        self.connections += 1
        wire = Wire(accepted)
        reader = RequestReader(wire, HttpLimits())
        try:
            while (request := await reader.next()) is not None:
                self.requests.append(request)
                if self.release is not None:
                    await self.release.wait()
                answer = self.answer(request)
                if not answer:
                    return
                await wire.send(answer)
        except WireError:
            return
        finally:
            wire.close()


@attrs.define
class Bench:
    """A running relayer and everything around it."""

    chain: SmallChain
    backend: Backend
    relayer: RelayerService
    redis: Redis
    names: KeyNames
    moment: ChainMoment
    metrics: Metrics
    health: Health
    nursery: trio.Nursery
    relayer_scope: trio.CancelScope
    relayer_stopped: trio.Event

    @property
    def address(self) -> tuple[str, int]:
        """Where the relayer listens."""
        return self.relayer.addresses[0]

    async def logged(self, supplier: str | None = None) -> list[Any]:
        """The entries of the relay log."""
        key = self.names.stream_key(supplier or self.chain.supplier_keys[0].address)
        entries: list[Any] = await self.redis.command("XRANGE", key, "-", "+")
        return entries

    def value(self, sample: str, **labels: str) -> float:
        """A metric's value, 0 when it was never touched."""
        return self.metrics.registry.get_sample_value(sample, labels) or 0.0


def settings(backend_url: str, **changes: Any) -> RelayerSettings:
    """Settings of a relayer with one service."""
    service: dict[str, Any] = changes.pop("service", {})
    backend: dict[str, Any] = changes.pop("backend", {"url": backend_url})
    return RelayerSettings(
        listen="127.0.0.1:0",
        services={
            SERVICE: ServiceSettings(backends={"jsonrpc": BackendSettings(**backend)}, **service)
        },
        drain_seconds=changes.pop("drain_seconds", 2.0),
        metering=changes.pop("metering", MeteringSettings()),
        **changes,
    )


@asynccontextmanager
async def bench(
    redis_url: str,
    *,
    chain: SmallChain | None = None,
    backend: Backend | None = None,
    height: int = 15,
    transports: list[Transport] | None = None,
    keys: dict[str, SigningKey] | None = None,
    configure: Callable[[str], RelayerSettings] = settings,
) -> AsyncIterator[Bench]:
    """A relayer that serves, until the block ends."""
    chain = chain or SmallChain()
    backend = backend or Backend()
    names = KeyNames()
    metrics, health = Metrics(), Health()
    async with trio.open_nursery() as nursery:
        redis = Redis(redis_url)
        await nursery.start(redis.run)
        await redis.wait_connected()
        await redis.command("FLUSHALL")
        await nursery.start(backend.run)
        moment = ChainMoment(30.0)
        if height:
            moment.observe(height)
        caches = Caches(
            {kind.name: kind() for kind in CACHE_TYPES},
            chain=chain,
            store=redis,
            names=names,
            moment=moment,
            max_entries=1_000,
            metrics=CacheMetrics(metrics),
        )
        await nursery.start(caches.run)
        relayer = RelayerService(
            configure(backend.url),
            keys={key.address: key for key in chain.supplier_keys} if keys is None else keys,
            caches=caches,
            moment=moment,
            store=redis,
            names=names,
            transports=transports or [HttpTransport()],
            metrics=metrics,
            health=health,
        )
        scope, stopped = trio.CancelScope(), trio.Event()

        async def run_relayer(*, task_status: trio.TaskStatus[None]) -> None:
            try:
                with scope:
                    await relayer.run(task_status=task_status)
            finally:
                stopped.set()

        await nursery.start(run_relayer)
        yield Bench(
            chain=chain,
            backend=backend,
            relayer=relayer,
            redis=redis,
            names=names,
            moment=moment,
            metrics=metrics,
            health=health,
            nursery=nursery,
            relayer_scope=scope,
            relayer_stopped=stopped,
        )
        scope.cancel()
        await stopped.wait()
        nursery.cancel_scope.cancel()


__all__ = [
    "SERVICE",
    "Backend",
    "Bench",
    "SmallChain",
    "bench",
    "request_body",
    "settings",
    "signed_request",
]
