"""What `relayminer check` looks at."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING

import trio

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.chain.queries import ChainQueries
from relayminer.cli.check_nodes import check_grpc_nodes, check_rpc_nodes
from relayminer.cli.findings import FAIL, OK, WARN, Finding
from relayminer.config.masking import masked_url
from relayminer.config.settings import EMBEDDED, BackendSettings, Settings
from relayminer.errors import RelayMinerError
from relayminer.keys import KeyLoadError, SupplierKeys, load_keys
from relayminer.net.dial import dial
from relayminer.net.errors import NetError
from relayminer.net.tls import expiry_of, server_context
from relayminer.net.url import Origin, parse_backend_url
from relayminer.plugin import load_key_providers
from relayminer.state.embedded import open_store
from relayminer.state.errors import StateError
from relayminer.state.gateway import Redis
from relayminer.state.watch import ServerFacts, look

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from relayminer.config.entrance import TlsSettings

STORE_SECONDS = 20.0
"""For starting the embedded store, which reads its log first."""
BACKEND_SECONDS = 5.0
MAX_SUPPLIERS = 200
"""Suppliers looked up on the chain; a fleet has more than a person reads."""
CONCURRENT = 16
MIN_CERTIFICATE_DAYS = 14
_DAY_SECONDS = 86_400


async def check_everything(settings: Settings) -> list[Finding]:
    """All checks, those of the outside world side by side, told in their order."""
    findings = [Finding("configuration", OK, plural(len(settings.relayer.services)))]
    if not settings.relayer.services:
        remedy = "add relayer.services, if this is to be a relayer"
        findings[0] = Finding("configuration", WARN, "no services", remedy)
    keys, about_keys = check_keys(settings)
    findings += [about_keys, *check_listen(settings), *check_tls(settings.relayer.tls)]
    results: list[list[Finding]] = [[] for _ in range(3)]

    async def collect(index: int, check: Callable[[], AsyncIterator[Finding]]) -> None:
        async for finding in check():
            results[index].append(finding)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, 0, lambda: check_store(settings))
        nursery.start_soon(collect, 1, lambda: check_chain(settings, keys))
        nursery.start_soon(collect, 2, lambda: check_backends(settings))
    for result in results:
        findings += result
    return findings


def plural(services: int) -> str:
    """How many services, in words."""
    return "1 service" if services == 1 else f"{services} services"


def check_keys(settings: Settings) -> tuple[SupplierKeys, Finding]:
    """The supplier keys can be read."""
    try:
        keys = load_keys(settings.keys, load_key_providers().values())
    except KeyLoadError as error:
        return SupplierKeys([]), Finding(
            "keys", FAIL, "\n".join(error.problems), "mend the files named there"
        )
    if not keys:
        remedy = "set keys.keys_file, keys.keys_dir or keys.keyring"
        return keys, Finding("keys", FAIL, "no supplier key", remedy)
    shown = ", ".join(keys.addresses[:3]) + (", ..." if len(keys) > 3 else "")  # noqa: PLR2004
    return keys, Finding("keys", OK, f"{len(keys)}: {shown}")


def check_tls(settings: TlsSettings) -> Iterator[Finding]:
    """Certificate and key can be used, and for some time still."""
    name = "relayer.tls"
    if settings.certificate is None or settings.key is None:
        return
    try:
        server_context(
            settings.certificate,
            settings.key,
            client_ca=settings.client_ca,
            min_version=settings.min_version,
        )
        days = (expiry_of(settings.certificate) - time.time()) / _DAY_SECONDS
    except NetError as error:
        yield Finding(name, FAIL, str(error), "name PEM files that belong together")
        return
    if days < 0:
        yield Finding(name, FAIL, "the certificate has expired", "renew it")
        return
    result = OK if days > MIN_CERTIFICATE_DAYS else WARN
    yield Finding(name, result, f"good for {days:.0f} days", "" if result == OK else "renew it")


def check_listen(settings: Settings) -> Iterator[Finding]:
    """Nobody else listens where we want to."""
    wanted = {"relayer.listen": settings.relayer.listen}
    if settings.control.enabled:
        wanted["control.listen"] = settings.control.listen
        for index, address in enumerate(settings.control.also_listen):
            wanted[f"control.also_listen[{index}]"] = address
    if settings.console.enabled:
        wanted["console.listen"] = settings.console.listen
    if settings.debug.enabled:
        wanted["debug.listen"] = settings.debug.listen
    for name, address in wanted.items():
        host, _, port = address.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - what an empty host means
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                yield Finding(
                    name,
                    WARN if taken else FAIL,
                    f"{address}: {error.strerror or error}",
                    "fine if relayminer runs already; else choose another port"
                    if taken
                    else "choose an address of this machine",
                )
            else:
                yield Finding(name, OK, f"{address} is free")


async def check_store(settings: Settings) -> AsyncIterator[Finding]:
    """The store answers; the embedded one is started for that, and stopped."""
    url = settings.redis.url
    embedded = url == EMBEDDED
    subject = "store"
    seconds = STORE_SECONDS if embedded else settings.redis.command_timeout_seconds * 2
    try:
        with trio.fail_after(seconds):
            async with open_store(settings.redis, settings.home) as where:
                servers = await _ask_servers(where, settings)
    except trio.TooSlowError:
        found = f"{masked_url(url)} does not answer"
        yield Finding(subject, FAIL, found, "is the server up, and redis.url right?")
    except (StateError, OSError) as error:
        remedy = f"is {settings.home} writable?" if embedded else "check redis.url and the server"
        yield Finding(subject, FAIL, f"{masked_url(url)}: {error}", remedy)
    else:
        where = f"embedded in {settings.home}" if embedded else masked_url(url)
        versions = ", ".join(sorted({server.version for server in servers}))
        yield Finding(subject, OK, f"{where}: {versions}")
        yield _store_safety(servers, settings)


async def _ask_servers(url: str, settings: Settings) -> list[ServerFacts]:
    redis = Redis(url, settings.redis)
    async with trio.open_nursery() as nursery:
        await nursery.start(redis.run)
        await redis.wait_connected()
        servers = await look(redis)
        nursery.cancel_scope.cancel()
    return servers


def _store_safety(servers: list[ServerFacts], settings: Settings) -> Finding:
    """Whether the store keeps what it confirms, and has room."""
    subject = "store safety"
    danger = next((server.danger for server in servers if server.danger), None)
    if danger is not None:
        found, _, remedy = danger.rpartition(": ")
        return Finding(subject, WARN if settings.redis.accept_unsafe else FAIL, found, remedy)
    used = max(server.used_ratio for server in servers)
    found = f"nothing is evicted, {used:.0%} of the memory in use"
    if used >= settings.redis.memory_warn_ratio:
        return Finding(subject, WARN, found, "give it more memory, or more miners to the log")
    if any(not server.appends for server in servers):
        remedy = "CONFIG SET appendonly yes: snapshots lose what came after the last one"
        return Finding(subject, WARN, f"{found}; snapshots only", remedy)
    return Finding(subject, OK, f"{found}, written to disk")


async def check_chain(settings: Settings, keys: SupplierKeys) -> AsyncIterator[Finding]:
    """The nodes answer, are of the right chain, are synced, and know our suppliers."""
    for finding in await check_rpc_nodes(settings):
        yield finding
    about_grpc = await check_grpc_nodes(settings)
    for finding in about_grpc:
        yield finding
    if any(finding.result == FAIL for finding in about_grpc):
        return
    async with ChainQueries(settings.chain) as queries:
        async for finding in check_suppliers(settings, queries, keys):
            yield finding


async def check_suppliers(
    settings: Settings, queries: ChainQueries, keys: SupplierKeys
) -> AsyncIterator[Finding]:
    """Every key belongs to a staked supplier, of services that are served here."""
    addresses = keys.addresses[:MAX_SUPPLIERS]
    served = set(settings.relayer.services)
    for address in addresses:
        subject = f"supplier {address}"
        try:
            supplier = await queries.supplier(address)
        except NotFoundError:
            yield Finding(subject, WARN, "not staked", "stake it, or take its key out")
            continue
        except ChainError as error:
            yield Finding(subject, FAIL, str(error), "check the node")
            return
        staked = {service.service_id for service in supplier.services}
        missing = sorted(staked - served)
        if missing and served:
            found = f"staked for {', '.join(missing)}, which no backend serves"
            yield Finding(subject, WARN, found, "add the service, or change the stake")
        else:
            yield Finding(subject, OK, f"staked for {', '.join(sorted(staked)) or 'nothing'}")


async def check_backends(settings: Settings) -> AsyncIterator[Finding]:
    """Every backend accepts connections."""
    findings: list[Finding | None] = []
    turns = trio.CapacityLimiter(CONCURRENT)

    async def look(index: int, check: Callable[[], Awaitable[Finding]]) -> None:
        async with turns:
            findings[index] = await check()

    async with trio.open_nursery() as nursery:
        for service_id, service in settings.relayer.services.items():
            for rpc_type, backend in service.backends.items():
                for url in backend_urls(backend):
                    subject = f"backend {service_id} {rpc_type}"
                    findings.append(None)
                    nursery.start_soon(
                        look, len(findings) - 1, lambda s=subject, u=url: check_backend(s, u)
                    )
    for finding in findings:
        if finding is not None:
            yield finding


def backend_urls(backend: BackendSettings) -> list[str]:
    """The addresses of a backend."""
    return [backend.url] if backend.url else [endpoint.url for endpoint in backend.urls]


async def check_backend(subject: str, url: str) -> Finding:
    """Somebody accepts connections at `url`, with TLS where the URL says so."""
    try:
        origin = parse_backend_url(url).origin
        tls = origin.scheme in {"https", "wss", "grpcs"}
        plain = Origin("https" if tls else "http", origin.host, origin.port)
        wire = await dial(plain, timeout_seconds=BACKEND_SECONDS)
        wire.close()
    except (NetError, RelayMinerError) as error:
        return Finding(subject, FAIL, f"{masked_url(url)}: {error}", "is the backend up?")
    return Finding(subject, OK, f"{masked_url(url)} accepts connections")
