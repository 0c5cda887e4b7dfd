"""Whether every endpoint of every backend answers in the protocol that its relays speak.

A backend with a `health_check` is asked as its settings say. The others are asked what any server
of their kind can answer: a JSON-RPC call, whose method it need not know; `/status` of CometBFT;
a handshake of WebSocket; a gRPC health check; anything at all from a REST server.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.config.masking import masked_url
from relayminer.config.traffic import HealthCheckSettings
from relayminer.net.errors import NetError
from relayminer.net.held import HeldBytes
from relayminer.net.server import fetch
from relayminer.net.url import request_target
from relayminer.net.watchdog import Watchdog
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.metrics import RelayerMetrics
from relayminer.relayer.probe import probe_of
from relayminer.relayer.probe_websocket import WebSocketProbe
from relayminer.relayer.routes import NOT_HTTP_SCHEMES, RouteBuilder
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.config.settings import BackendSettings, RelayerSettings, Settings
    from relayminer.net.response import Response
    from relayminer.relayer.pool import Endpoint
    from relayminer.relayer.probe import Probe
    from relayminer.relayer.routes import Route

CONCURRENT: Final = 64
"""Endpoints asked at once: hundreds that are silent are told within a minute."""
BACKEND_SECONDS: Final = 5.0
_MAX_ANSWER_BYTES: Final = 1_048_576
_JSONRPC, _COMETBFT, _GRPC, _WEBSOCKET = "jsonrpc", "cometbft", "grpc", "websocket"
_METHOD: Final = "eth_blockNumber"
_STATUS_PATH: Final = "/status"
_REFUSED: Final = frozenset({401, 403, 407})
_SERVER_ERROR: Final = 500
_UP: Final = "is the backend up, and the URL right?"
_CREDENTIALS: Final = "set its authentication or headers"


async def check_backends(settings: Settings) -> AsyncIterator[Finding]:
    """Every endpoint of every backend, side by side, told in the order of the settings."""
    findings: list[list[Finding]] = []
    turns = trio.CapacityLimiter(CONCURRENT)
    asker = _Asker(settings.relayer, turns)
    async with trio.open_nursery() as nursery:
        await nursery.start(asker.watchdog.run)
        async with trio.open_nursery() as looks:
            for service_id, service in settings.relayer.services.items():
                for rpc_type in service.backends:
                    findings.append([])
                    looks.start_soon(asker.look, service_id, rpc_type, findings[-1])
        nursery.cancel_scope.cancel()
    for found in findings:
        for finding in found:
            yield finding


class _Asker:
    """Asks backends over connections such as relays would take."""

    def __init__(self, settings: RelayerSettings, turns: trio.CapacityLimiter) -> None:
        self._settings = settings
        self._turns = turns
        self._metrics = RelayerMetrics(Metrics())
        self.watchdog = Watchdog()

    async def look(self, service_id: str, rpc_type: str, found: list[Finding]) -> None:
        """All endpoints of one backend."""
        subject = f"backend {service_id} {rpc_type}"
        service = self._settings.services[service_id]
        backend = service.backends[rpc_type]
        alone = attrs.evolve(service, backends={rpc_type: backend})
        settings = attrs.evolve(self._settings, services={service_id: alone})
        held = HeldBytes(settings.max_answer_bytes_in_flight)
        try:
            builder = RouteBuilder(settings, self.watchdog, self._metrics, held)
            route = builder.build()[service_id].by_type[rpc_type]
        except RelayerConfigurationError as error:
            found.append(Finding(subject, FAIL, str(error), "mend the setting named there"))
            return
        endpoints = route.pool.endpoints if route.pool is not None else ()
        answers = [Finding(subject, FAIL, "not asked", _UP)] * len(endpoints)

        async def ask(index: int, url: str, endpoint: Endpoint) -> None:
            async with self._turns:
                answers[index] = await _asked(subject, masked_url(url), route, endpoint, backend)

        async with trio.open_nursery() as nursery:
            for index, url in enumerate(backend_urls(backend)):
                nursery.start_soon(ask, index, url, endpoints[index])
        found.extend(answers)


def backend_urls(backend: BackendSettings) -> list[str]:
    """The addresses of a backend."""
    return [backend.url] if backend.url else [endpoint.url for endpoint in backend.urls]


async def _asked(
    subject: str, where: str, route: Route, endpoint: Endpoint, backend: BackendSettings
) -> Finding:
    """What an endpoint answers, or that it does not."""
    try:
        # The probe's own timeout says more; this one bounds whatever it does.
        with trio.move_on_after(2 * BACKEND_SECONDS):
            return await _probed(subject, where, route, endpoint, backend)
        reason = "no answer in time"
    except (NetError, RelayerConfigurationError) as error:
        reason = str(error)
    finally:
        endpoint.http.close()
    return Finding(subject, FAIL, f"{where}: {reason}", _UP)


async def _probed(
    subject: str, where: str, route: Route, endpoint: Endpoint, backend: BackendSettings
) -> Finding:
    probe, what = _probe_of(route, endpoint, backend)
    if probe is None:
        answer = await _answer_of(route, endpoint, backend)
        return judge(subject, where, route.rpc_type, answer)
    try:
        problem = await probe.problem(timeout_seconds=BACKEND_SECONDS)
    finally:
        probe.close()
    if problem:
        return Finding(subject, FAIL, f"{where}: {what}: {problem}", _UP)
    return Finding(subject, OK, f"{where} answers {what}")


def _probe_of(
    route: Route, endpoint: Endpoint, backend: BackendSettings
) -> tuple[Probe | None, str]:
    """The probe to use, and what it asks for; None where a question of our own says more."""
    if backend.health_check.enabled:
        return probe_of(route, endpoint, backend.health_check), "its health check"
    if route.rpc_type == _GRPC:
        return probe_of(route, endpoint, HealthCheckSettings()), "gRPC"
    if route.rpc_type == _WEBSOCKET or endpoint.url.origin.scheme in NOT_HTTP_SCHEMES:
        return WebSocketProbe(route, endpoint, HealthCheckSettings()), "a WebSocket handshake"
    return None, ""


async def _answer_of(route: Route, endpoint: Endpoint, backend: BackendSettings) -> Response:
    """The answer to a question that any server of this kind understands."""
    method, body, path = b"GET", b"", ""
    headers = list(route.fixed_headers)
    if route.rpc_type == _JSONRPC:
        asked = {"jsonrpc": "2.0", "id": 1, "method": backend.freshness.method or _METHOD}
        method, body = b"POST", json.dumps({**asked, "params": []}).encode()
        headers.append((b"Content-Type", b"application/json"))
    elif route.rpc_type == _COMETBFT:
        path = _STATUS_PATH
    return await fetch(
        endpoint.http,
        method,
        request_target(endpoint.url, route.base_path, path).encode("ascii"),
        headers=headers,
        body=body,
        timeout_seconds=BACKEND_SECONDS,
        max_response_bytes=_MAX_ANSWER_BYTES,
    )


def judge(subject: str, where: str, rpc_type: str, answer: Response) -> Finding:
    """Whether an answer is one of the protocol that relays of this type speak."""
    status = answer.status
    found = f"{where}: HTTP status {status}"
    if status >= _SERVER_ERROR:
        return Finding(subject, FAIL, found, "look at the backend's own log")
    if status in _REFUSED:
        # A REST server may well keep its root to itself.
        result = FAIL if rpc_type in {_JSONRPC, _COMETBFT} else WARN
        return Finding(subject, result, found, _CREDENTIALS)
    if rpc_type not in {_JSONRPC, _COMETBFT}:
        return Finding(subject, OK, f"{where} answers HTTP, status {status}")
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not ("result" in document or "error" in document):
        return Finding(subject, FAIL, f"{found}, and no JSON-RPC", f"{_UP} Mind its path")
    if rpc_type == _JSONRPC:
        return Finding(subject, OK, f"{where} answers JSON-RPC")
    return _judge_status(subject, where, document.get("result"))


def _judge_status(subject: str, where: str, result: Any) -> Finding:
    """A CometBFT node that is there, and synced."""
    try:
        height = int(result["sync_info"]["latest_block_height"])
        is_behind = bool(result["sync_info"]["catching_up"])
    except (KeyError, TypeError, ValueError):
        return Finding(subject, FAIL, f"{where}: /status is not that of CometBFT", _UP)
    found = f"{where} answers CometBFT, height {height}"
    if is_behind:
        return Finding(subject, WARN, f"{found}, catching up", "wait until the node is synced")
    return Finding(subject, OK, found)
