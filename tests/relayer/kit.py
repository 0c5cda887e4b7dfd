"""A relayer with a real store, real sockets and real signatures, on a chain that fits in a file."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2
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
from relayminer.chain.errors import ChainQueryError, NotFoundError
from relayminer.chain.queries import Account
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
from relayminer.protocol import codec
from relayminer.protocol.address import address_of
from relayminer.protocol.envelope import HttpRequest, encode_http_request
from relayminer.protocol.pb import (
    application_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from relayminer.protocol.relay import request_hash
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.session import session_end, session_id, session_start
from relayminer.protocol.signature import SigningKey
from relayminer.relayer.service import RelayerService
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.telemetry.health import Health
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from relayminer.plugin import Transport

SERVICE = "anvil"
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
ENVELOPE = HttpRequest(
    "POST",
    "http://gateway/",
    {"Content-Type": ("application/json",)},
    b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}',
)


def shared_params() -> shared_pb2.Params:
    """Sessions of ten blocks."""
    return shared_pb2.Params(
        num_blocks_per_session=10,
        grace_period_end_offset_blocks=1,
        claim_window_open_offset_blocks=1,
        claim_window_close_offset_blocks=4,
        proof_window_open_offset_blocks=0,
        proof_window_close_offset_blocks=4,
        compute_units_to_tokens_multiplier=42_000_000,
        compute_unit_cost_granularity=1_000_000,
        session_grid_anchor_height=1,
        session_number_at_anchor=1,
    )


class SmallChain:
    """One application with a gateway, one service, some suppliers. Counts what it is asked."""

    def __init__(self, suppliers: int = 1, stake_upokt: int = 10**15) -> None:
        self.params = shared_params()
        self.application_key = SigningKey.from_seed(b"application")
        self.gateway_key = SigningKey.from_seed(b"gateway")
        self.gateway_keys = [self.gateway_key]
        self.supplier_keys = [SigningKey.from_seed(b"supplier %d" % n) for n in range(suppliers)]
        self.stake_upokt = stake_upokt
        self.asked: list[str] = []
        self.target = b"\xff" * 32
        self.available = True

    @property
    def ring(self) -> list[bytes]:
        """The application's ring."""
        return [self.application_key.public_key, self.gateway_key.public_key]

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if not self.available:
            raise ChainQueryError("the chain is away", "UNAVAILABLE")

    async def shared_params(self) -> shared_pb2.Params:
        """In force now."""
        self._ask("shared_params")
        return self.params

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """In force at a height."""
        self._ask(f"shared_params_at {height}")
        return self.params

    async def session_params(self) -> session_pb2.Params:
        """In force now."""
        self._ask("session_params")
        return session_pb2.Params(num_suppliers_per_session=15)

    async def proof_params(self) -> proof_pb2.Params:
        """In force now."""
        self._ask("proof_params")
        return proof_pb2.Params()

    def header(self, height: int, service: str = SERVICE) -> session_pb2.SessionHeader:
        """The session header at `height`."""
        start = session_start(self.params, height)
        return session_pb2.SessionHeader(
            application_address=self.application_key.address,
            service_id=service,
            session_id=session_id(b"\x07" * 32, service, self.application_key.address, start),
            session_start_block_height=start,
            session_end_block_height=session_end(self.params, height),
        )

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The one session."""
        self._ask(f"session {service} {height}")
        if application != self.application_key.address or service != SERVICE:
            raise ChainQueryError("no such session", "INTERNAL")
        header = self.header(height)
        return session_pb2.Session(
            header=header,
            session_id=header.session_id,
            num_blocks_per_session=10,
            suppliers=[
                shared_pb2.Supplier(operator_address=key.address) for key in self.supplier_keys
            ],
        )

    async def application(self, address: str) -> application_pb2.Application:
        """The one application."""
        self._ask(f"application {address}")
        if address != self.application_key.address:
            raise NotFoundError(f"no application {address}")
        return application_pb2.Application(
            address=address,
            stake=coin_pb2.Coin(denom="upokt", amount=str(self.stake_upokt)),
            delegatee_gateway_addresses=[key.address for key in self.gateway_keys],
        )

    async def supplier(self, address: str) -> shared_pb2.Supplier:
        """Any supplier."""
        self._ask(f"supplier {address}")
        return shared_pb2.Supplier(operator_address=address)

    async def service(self, service: str) -> shared_pb2.Service:
        """Any service."""
        self._ask(f"service {service}")
        return shared_pb2.Service(id=service, compute_units_per_relay=100)

    async def account(self, address: str) -> Account:
        """Of the application or the gateway."""
        self._ask(f"account {address}")
        for key in (self.application_key, *self.gateway_keys):
            if key.address == address:
                return Account(address, 1, 0, key.public_key)
        raise NotFoundError(f"no account {address}")

    async def difficulty_at(self, service: str, height: int) -> service_pb2.RelayMiningDifficulty:
        """The target of this chain."""
        self._ask(f"difficulty_at {service} {height}")
        return service_pb2.RelayMiningDifficulty(service_id=service, target_hash=self.target)

    async def compute_units_at(self, service: str, height: int) -> int:
        """A hundred."""
        self._ask(f"compute_units_at {service} {height}")
        return 100

    async def supplier_params(self) -> supplier_pb2.Params:
        """In force now."""
        self._ask("supplier_params")
        return supplier_pb2.Params()


def signed_request(
    chain: SmallChain,
    *,
    height: int = 15,
    envelope: HttpRequest = ENVELOPE,
    supplier: str | None = None,
    ring: list[bytes] | None = None,
    signer: SigningKey | None = None,
    change: Callable[[service_pb2.RelayRequest], None] | None = None,
) -> service_pb2.RelayRequest:
    """A relay request with a valid ring signature; `change` is applied before signing."""
    request = service_pb2.RelayRequest(payload=encode_http_request(envelope))
    request.meta.session_header.CopyFrom(chain.header(height))
    request.meta.supplier_operator_address = supplier or chain.supplier_keys[0].address
    if change is not None:
        change(request)
    request.meta.signature = sign_ring(
        request_hash(request), ring or chain.ring, signer or chain.gateway_key
    )
    return request


def request_body(request: service_pb2.RelayRequest) -> bytes:
    """Its bytes."""
    return codec.encode(request)


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


def address_without_stake() -> str:
    """An address that nobody has heard of."""
    return address_of(SigningKey.from_seed(b"nobody %d" % time.time_ns()).public_key)
