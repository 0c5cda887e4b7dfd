"""Active probes in three protocols, and the freshness guard, on running relayers."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio_websocket import WebSocketRequest, serve_websocket

from relayminer.config.settings import EndpointSettings, RelayerSettings
from relayminer.config.traffic import FreshnessSettings, HealthCheckSettings
from relayminer.net.errors import BadResponseError
from relayminer.net.http1 import Request, response_bytes
from relayminer.relayer.errors import RelayerConfigurationError
from relayminer.relayer.guard import height_in
from relayminer.relayer.probe_grpc import check_request, serving_status
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import Bench, bench, settings
from tests.backends import sick
from tests.backends.health_server import NOT_SERVING, SERVING, HealthServer
from tests.backends.sick import SickBackend, ask, page_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = partial(
    HealthCheckSettings,
    enabled=True,
    interval_seconds=0.02,
    timeout_seconds=0.5,
    unhealthy_threshold=2,
    healthy_threshold=2,
)


def probing(url: str, rpc_type: str = "jsonrpc", **health: Any) -> Callable[[str], RelayerSettings]:
    """Settings of a relayer that probes its one backend."""

    def configure(other: str) -> RelayerSettings:
        backend = {"url": url or other, "health_check": QUICK(**health)}
        return settings("", backend=backend, backend_type=rpc_type)

    return configure


async def states(b: Bench) -> list[str]:
    """Of all endpoints."""
    return [one["state"] for one in (await page_of(b))["backends"]["endpoints"]]


async def become(b: Bench, *wanted: str) -> None:
    """Wait for the endpoints' states."""

    async def are() -> bool:
        return await states(b) == list(wanted)

    await until(are)


async def test_http_probes_take_an_endpoint_out_and_bring_it_back(redis_url: str) -> None:
    """By status and by text; the page, the metric and the relays agree."""
    said = {"status": 200, "body": b'{"result":"ok, synced"}'}
    backend = Backend(lambda _: response_bytes(int(said["status"]), bytes(said["body"])))  # type: ignore[call-overload]
    configure = probing(
        "",
        endpoint="/healthz",
        method="post",
        request_body='{"method":"health"}',
        expected_status=(200, 204),
        expected_body="synced",
        headers={"X-Probe": "1"},
    )
    async with bench(redis_url, backend=backend, configure=configure) as b:
        await until(lambda: len(backend.requests) >= 3)
        asked = backend.requests[0]
        assert (asked.method, asked.target, asked.body) == (
            b"POST",
            b"/healthz",
            b'{"method":"health"}',
        )
        assert (b"x-probe", b"1") in asked.headers
        assert (b"content-type", b"application/json") in asked.headers
        assert await states(b) == ["healthy"]
        for change in ({"status": 503}, {"body": b"not s-y-n-c-e-d"}, {"status": 201}):
            before = dict(said)
            said.update(change)
            await become(b, "probe_failed")
            page = await page_of(b)
            assert not page["ready"]
            assert page["backends"]["endpoints"][0]["problem"]
            assert (await ask(b)).status == 503
            name = f"127.0.0.1:{backend.port}"
            labels = {"service_id": "anvil:jsonrpc", "endpoint": name}
            assert b.value("ha_relayer_backend_health_status", **labels) == 0
            assert b.value("ha_relayer_health_check_failures_total", **labels) >= 2
            said.update(before)
            await become(b, "healthy")
            assert (await ask(b)).status == 200


async def test_a_probe_uses_the_rule_of_relays_for_its_path(redis_url: str) -> None:
    """K-22: the base path stands in for the endpoint's own path, it is not put behind it."""
    backend = Backend()

    def configure(url: str) -> RelayerSettings:
        health = QUICK(endpoint="/status?full=1")
        return settings(
            "", backend={"url": f"{url}/own", "base_path": "/base", "health_check": health}
        )

    async with bench(redis_url, backend=backend, configure=configure):
        await until(lambda: bool(backend.requests))
        assert backend.requests[0].target == b"/base/status?full=1"


async def test_a_silent_endpoint_does_not_delay_the_probes_of_its_siblings(redis_url: str) -> None:
    """They are probed side by side, and found well while it is found out."""
    silent = SickBackend(sick.silent)

    def configure(url: str) -> RelayerSettings:
        urls = (EndpointSettings(url=silent.url), EndpointSettings(url=url))
        return settings("", backend={"urls": urls, "health_check": QUICK(timeout_seconds=0.1)})

    async with trio.open_nursery() as nursery:
        await nursery.start(silent.run)
        async with bench(redis_url, configure=configure) as b:
            await become(b, "probe_failed", "healthy")
            for _ in range(4):
                assert (await ask(b)).status == 200
        nursery.cancel_scope.cancel()


async def test_websocket_probes_shake_hands(redis_url: str) -> None:
    """A server that upgrades is well; one that speaks plain HTTP is not."""
    served = []

    async def handler(request: WebSocketRequest) -> None:
        connection = await request.accept()
        served.append(request.path)
        async with connection:
            await connection.aclose()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
        configure = probing(f"ws://127.0.0.1:{server.port}", "websocket", endpoint="/ws")
        async with bench(redis_url, configure=configure) as b:
            await until(lambda: len(served) >= 3)
            assert set(served) == {"/ws"}
            assert await states(b) == ["healthy"]
        nursery.cancel_scope.cancel()
    plain = Backend()
    async with trio.open_nursery() as nursery:
        await nursery.start(plain.run)
        url = plain.url.replace("http", "ws")
        async with bench(redis_url, configure=probing(url, "websocket")) as b:
            await become(b, "probe_failed")
            problem = (await page_of(b))["backends"]["endpoints"][0]["problem"]
            assert problem == "no WebSocket handshake: HTTP/1.1 200 OK"
        nursery.cancel_scope.cancel()


async def test_grpc_probes_ask_the_health_service(redis_url: str) -> None:
    """SERVING is well, NOT_SERVING is not, and the service that the settings name is asked for."""
    server = HealthServer()
    server.statuses["pocket.Relay"] = SERVING
    with server.running() as address:
        configure = probing(address, "grpc", endpoint="pocket.Relay")
        async with bench(redis_url, configure=configure) as b:
            await until(lambda: len(server.asked) >= 3)
            assert await states(b) == ["healthy"]
            server.statuses["pocket.Relay"] = NOT_SERVING
            await become(b, "probe_failed")
            problem = (await page_of(b))["backends"]["endpoints"][0]["problem"]
            assert problem == "health NOT_SERVING"
            server.statuses["pocket.Relay"] = SERVING
            await become(b, "healthy")
    assert set(server.asked) == {"pocket.Relay"}


async def test_a_grpc_server_without_health_service_is_well_and_a_dead_one_is_not(
    redis_url: str,
) -> None:
    """UNIMPLEMENTED is an answer; no HTTP/2 is none."""
    server = HealthServer()
    server.knows_health = False
    with server.running() as address:
        async with bench(redis_url, configure=probing(address, "grpc")) as b:
            labels = {"service_id": "anvil:grpc", "endpoint": address}
            await until(lambda: b.value("ha_relayer_health_check_successes_total", **labels) > 2)
            assert await states(b) == ["healthy"]
    garbage = SickBackend(sick.garbage)
    async with trio.open_nursery() as nursery:
        await nursery.start(garbage.run)
        configure = probing(f"127.0.0.1:{garbage.port}", "grpc")
        async with bench(redis_url, configure=configure) as b:
            await become(b, "probe_failed")
        nursery.cancel_scope.cancel()


def test_health_messages_are_read_and_written() -> None:
    """The two messages of grpc.health.v1 by hand."""
    assert check_request("") == b""
    assert check_request("a.B") == b"\x0a\x03a.B"
    assert [serving_status(b"\x08\x01"), serving_status(b"")] == [1, 0]
    with pytest.raises(BadResponseError):
        serving_status(b"\x12\x00")
    with pytest.raises(BadResponseError):
        check_request("x" * 128)


async def test_a_probe_that_cannot_be_asked_stops_the_start(redis_url: str) -> None:
    """The operator is told at once, with the place."""
    with pytest.RaisesGroup(
        pytest.RaisesExc(RelayerConfigurationError, match="health_check.endpoint"),
        flatten_subgroups=True,
    ):
        async with bench(redis_url, configure=probing("", endpoint="/a b")):
            pass


class Node:
    """A node that says its height."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.relays = 0
        self.backend = Backend(self._answer)

    def _answer(self, request: Request) -> bytes:
        if request.target == b"/status":
            height = str(self.height)
            said: Any = {"result": {"sync_info": {"latest_block_height": height}}}
            return response_bytes(200, json.dumps(said).encode())
        asked = json.loads(request.body)
        if asked["params"] == []:
            said = {"jsonrpc": "2.0", "id": 1, "result": hex(self.height)}
            return response_bytes(200, json.dumps(said).encode())
        self.relays += 1
        return response_bytes(200, b"{}")


@pytest.mark.parametrize("rpc_type", ["jsonrpc", "cometbft"])
async def test_an_endpoint_that_lags_gets_no_relays_until_it_has_caught_up(
    redis_url: str, rpc_type: str
) -> None:
    """Up to the limit it stays in, beyond it is out and told; nobody is out alone."""
    first, second = Node(1_000), Node(1_000)
    freshness = FreshnessSettings(max_lag_blocks=5, interval_seconds=0.02)

    def configure(_: str) -> RelayerSettings:
        urls = tuple(EndpointSettings(url=node.backend.url) for node in (first, second))
        return settings("", backend={"urls": urls, "freshness": freshness}, backend_type=rpc_type)

    async with trio.open_nursery() as nursery:
        await nursery.start(first.backend.run)
        await nursery.start(second.backend.run)
        async with bench(redis_url, configure=configure) as b:

            async def has_seen(height: int) -> bool:
                found = (await page_of(b))["backends"]["endpoints"]
                return any(one.get("height") == height for one in found)

            first.height = 1_005
            await until(partial(has_seen, 1_005))
            assert await states(b) == ["healthy", "healthy"]
            first.height = 1_006
            await become(b, "healthy", "lagging")
            page = await page_of(b)
            assert (page["ready"], page["backends"]["healthy"]) == (True, 1)
            assert [one["height"] for one in page["backends"]["endpoints"]] == [1_006, 1_000]
            for _ in range(4):
                assert (await ask(b)).status == 200
            second.height = 1_004
            await become(b, "healthy", "healthy")
            first.height = 990
            await become(b, "lagging", "healthy")
        nursery.cancel_scope.cancel()


async def test_the_last_one_alive_is_not_lagging(redis_url: str) -> None:
    """When the leader dies, what is left is compared with what is left."""
    leader, follower = Node(1_000), Node(10)
    freshness = FreshnessSettings(max_lag_blocks=5, interval_seconds=0.02, timeout_seconds=0.5)

    def configure(_: str) -> RelayerSettings:
        urls = tuple(EndpointSettings(url=node.backend.url) for node in (leader, follower))
        return settings("", backend={"urls": urls, "freshness": freshness})

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run_leader(*, task_status: trio.TaskStatus[None]) -> None:
            with scope:
                await leader.backend.run(task_status=task_status)

        await nursery.start(run_leader)
        await nursery.start(follower.backend.run)
        async with bench(redis_url, configure=configure) as b:
            await become(b, "healthy", "lagging")
            scope.cancel()
            await become(b, "healthy", "healthy")
        nursery.cancel_scope.cancel()


def test_heights_come_in_several_forms() -> None:
    """A number, decimal digits, hexadecimal digits, deep inside; nothing else."""
    assert height_in(b'{"result":"0x10"}', "result") == 16
    assert height_in(b'{"result":16}', "result") == 16
    assert height_in(b'{"a":{"b":"16"}}', "a.b") == 16
    for body in (b"", b"[]", b'{"result":null}', b'{"result":"x"}', b'{"result":-1}', b'{"r":1}'):
        with pytest.raises(BadResponseError):
            height_in(body, "result")
