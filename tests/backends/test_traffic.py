"""Lanes, the response cache and hedging, on a running relayer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.config.settings import EndpointSettings, RelayerSettings
from relayminer.config.traffic import (
    AdmissionSettings,
    HedgingSettings,
    LaneSettings,
    ResponseCacheSettings,
)
from relayminer.net.http1 import Request, response_bytes
from relayminer.protocol import codec
from relayminer.protocol.envelope import decode_http_response
from relayminer.protocol.pb.service_pb2 import RelayRequest, RelayResponse
from relayminer.relayer.lanes import Lanes
from relayminer.relayer.lanes_calls import Calls
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import bench, settings
from tests.backends import sick
from tests.backends.sick import SickBackend, ask, call_body, echo_backend, page_of, until

if TYPE_CHECKING:
    from relayminer.net.response import Response


def lanes_of(head: int = 0) -> Lanes:
    """Traces in one lane, log ranges above 100 blocks in another."""
    return Lanes(
        {
            "trace": LaneSettings(methods=("trace_*", "debug_*")),
            "logs": LaneSettings(log_range_blocks=100),
        },
        trio.current_time,
        lambda: head,
    )


def lane_name(value: Any, head: int = 0) -> str:
    """The lane of a body."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lane = lanes_of(head).lane_of(Calls(body))
    return lane.name if lane is not None else ""


def logs(**wanted: Any) -> dict[str, Any]:
    """A call for logs."""
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}


async def test_calls_find_their_lane() -> None:
    """By pattern and by range; what cannot be told is dear."""
    assert lane_name({"method": "eth_chainId"}) == ""
    assert lane_name({"method": "trace_block"}) == "trace"
    assert lane_name([{"method": "eth_chainId"}, {"method": "debug_traceCall"}]) == "trace"
    assert lane_name(logs(fromBlock="0x1", toBlock="0x10")) == ""
    assert lane_name(logs(fromBlock="0x1", toBlock="0x100")) == "logs"
    assert lane_name(logs(fromBlock="earliest", toBlock="latest")) == "logs"
    assert lane_name(logs(fromBlock="0x1")) == "logs"
    assert lane_name(logs(fromBlock="0x1"), head=50) == ""
    assert lane_name(logs(fromBlock="latest")) == ""
    assert lane_name(logs(blockHash="0xaa")) == ""
    assert lane_name(b'{"method":"eth_chainId","Method":"trace_block"}') == "trace"
    assert lane_name(b" " * 300_000) == "trace"
    assert lane_name(b"not json") == ""
    assert lane_name(b"[" * 200_000) == ""


def test_a_body_is_read_only_when_it_could_be_a_lane_s() -> None:
    """The literal starts of the patterns tell; a backslash could hide one."""
    lanes = lanes_of()
    for body, wanted in (
        (b'{"method":"eth_chainId"}', False),
        (b'{"method":"eth_sendRawTransaction","params":["0x%b"]}' % (b"f" * 500_000), False),
        (b'{"method":"trace_block"}', True),
        (b'{"method":"\\u0074race_block"}', True),
        (b'{"method":"eth_newFilter","params":[{"toBlock":"0x1"}]}', True),
    ):
        assert lanes.may_take(body) is wanted
    assert lane_name(b'{"method":"\\u0074race_block"}') == "trace"


async def test_dear_calls_do_not_stop_cheap_ones(redis_url: str) -> None:
    """One trace at a time: the others are refused or wait, and every cheap call is served."""
    release = trio.Event()

    async def answer(stream: trio.SocketStream) -> None:
        await release.wait()
        await sick.good(stream)

    backend = SickBackend(answer)
    cheap = echo_backend()

    def configure(url: str) -> RelayerSettings:
        lane = LaneSettings(
            methods=("trace_*",), max_in_flight=1, max_waiting=1, max_wait_seconds=20.0
        )
        found = settings(backend.url, service={"lanes": {"dear": lane}})
        rest = settings(url, backend_type="rest").services["anvil"].backends
        service = found.services["anvil"]
        service.backends.update(rest)
        return found

    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        async with bench(redis_url, backend=cheap, configure=configure) as b:
            statuses: list[int] = []

            async def trace() -> None:
                statuses.append((await ask(b, call_body(b, "trace_block"))).status)

            async with trio.open_nursery() as traces:
                for _ in range(4):
                    traces.start_soon(trace)
                await until(lambda: len(statuses) == 2)
                assert statuses == [503, 503]
                for _ in range(10):
                    answer_now = await ask(b, call_body(b, "eth_chainId"), rpc_type=b"4")
                    assert answer_now.status == 200
                lane = (await page_of(b))["admission"]["dear"]
                assert (lane["in_flight"], lane["waiting"], lane["refused"]) == (1, 1, 2)
                release.set()
            assert sorted(statuses) == [200, 200, 503, 503]
            assert b.value("ha_relayer_relays_shed_total", service_id="anvil", lane="dear") == 2
        nursery.cancel_scope.cancel()


async def test_a_dear_call_is_verified_before_it_is_served(redis_url: str) -> None:
    """K-46: in an optimistic service a forger does not get the node to trace for him."""
    configure = partial(
        settings,
        service={
            "validation_mode": "optimistic",
            "lanes": {"dear": LaneSettings(methods=("trace_*",))},
        },
    )
    async with bench(redis_url, backend=echo_backend(), configure=configure) as b:
        forged = codec.decode(RelayRequest, call_body(b, "trace_block"))
        forged.meta.signature = forged.meta.signature[:-1] + b"\x00"
        assert (await ask(b, codec.encode(forged))).status == 403
        assert b.backend.requests == []


def rpc_of(answer: Response) -> Any:
    """The JSON-RPC answer inside a signed response."""
    assert answer.status == 200, answer.body
    return json.loads(decode_http_response(codec.decode(RelayResponse, answer.body).payload).body)


async def test_immutable_answers_are_kept_and_signed_one_by_one(redis_url: str) -> None:
    """The backend is asked once; every relay has its own id, signature and log entry."""
    configure = partial(
        settings, service={"response_cache": ResponseCacheSettings(methods=("eth_getBlockByHash",))}
    )
    async with bench(redis_url, backend=echo_backend(), configure=configure) as b:
        signatures = set()
        for n in range(5):
            answer = await ask(b, call_body(b, "eth_getBlockByHash", ["0xaa", True], f"id {n}"))
            assert rpc_of(answer) == {
                "jsonrpc": "2.0",
                "id": f"id {n}",
                "result": "eth_getBlockByHash",
            }
            response = codec.decode(RelayResponse, answer.body)
            signatures.add(response.meta.supplier_operator_signature)
        assert len(b.backend.requests) == 1
        assert len(signatures) == len(await b.logged()) == 5
        for method, params in (
            ("eth_getBlockByHash", ["0xbb", True]),
            ("eth_getBlockByHash", ["latest", True]),
            ("eth_getBlockByHash", ["latest", True]),
            ("eth_chainId", []),
            ("eth_chainId", []),
        ):
            assert rpc_of(await ask(b, call_body(b, method, params)))["result"] == method
        assert len(b.backend.requests) == 6


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"result":null}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}',
        b'{"jsonrpc":"2.0","id":1,"result":1.10}',
        b'{"jsonrpc":"2.0","id":2,"result":"of another"}',
        b"<html>",
    ],
)
async def test_what_may_change_is_not_kept(redis_url: str, body: bytes) -> None:
    """Neither errors nor nothing, nor what would not come back as it was."""
    configure = partial(
        settings, service={"response_cache": ResponseCacheSettings(methods=("eth_getBlockByHash",))}
    )
    backend = Backend(lambda _: response_bytes(200, body))
    async with bench(redis_url, backend=backend, configure=configure) as b:
        for _ in range(2):
            await ask(b, call_body(b, "eth_getBlockByHash", ["0xaa"]))
        assert len(backend.requests) == 2


async def test_the_cache_is_bounded(redis_url: str) -> None:
    """The least recently used answers go first."""
    cache = ResponseCacheSettings(methods=("m",), max_bytes=10_000)

    def answer(request: Request) -> bytes:
        asked = json.loads(request.body)
        said = {"jsonrpc": "2.0", "id": asked["id"], "result": "x" * 500}
        return response_bytes(200, json.dumps(said).encode())

    configure = partial(settings, service={"response_cache": cache})
    async with bench(redis_url, backend=Backend(answer), configure=configure) as b:
        for n in range(30):
            await ask(b, call_body(b, "m", [n]))
            assert (await page_of(b))["admission"]["response_cache_bytes"] <= 10_000
        await ask(b, call_body(b, "m", [29]))
        assert len(b.backend.requests) == 30
        await ask(b, call_body(b, "m", [0]))
        assert len(b.backend.requests) == 31


async def test_a_slow_answer_is_hedged(redis_url: str) -> None:
    """After a while a second endpoint is asked, once; other methods wait for the first."""
    slow = SickBackend(sick.silent)

    def configure(url: str) -> RelayerSettings:
        return settings(
            url,
            backend={
                "urls": (EndpointSettings(url=slow.url), EndpointSettings(url=url)),
                "load_balancing": "first_healthy",
                "hedging": HedgingSettings(methods=("eth_chainId",), after_seconds=0.05),
            },
            request_timeout_seconds=0.5,
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(slow.run)
        async with bench(redis_url, backend=echo_backend(), configure=configure) as b:
            answer = await ask(b, call_body(b, "eth_chainId"))
            assert rpc_of(answer)["result"] == "eth_chainId"
            assert answer.header(b"backend-retries") == b"1"
            assert (slow.asked, len(b.backend.requests)) == (1, 1)
            assert len(await b.logged()) == 1
            assert (await ask(b, call_body(b, "eth_sendRawTransaction"))).status == 502
            assert (slow.asked, len(b.backend.requests)) == (2, 1)
            assert (await page_of(b))["backends"]["healthy"] == 2
        nursery.cancel_scope.cancel()


async def test_a_fast_answer_is_not_hedged(redis_url: str) -> None:
    """The second endpoint hears nothing of it."""
    other = echo_backend()

    def configure(url: str) -> RelayerSettings:
        return settings(
            url,
            backend={
                "urls": (EndpointSettings(url=url), EndpointSettings(url=other.url)),
                "load_balancing": "first_healthy",
                "hedging": HedgingSettings(methods=("eth_chainId",), after_seconds=5.0),
            },
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(other.run)
        async with bench(redis_url, backend=echo_backend(), configure=configure) as b:
            for _ in range(3):
                assert rpc_of(await ask(b, call_body(b, "eth_chainId")))
            assert (len(b.backend.requests), len(other.requests)) == (3, 0)
        nursery.cancel_scope.cancel()


async def test_a_full_service_refuses_at_once_and_serves_the_rest(redis_url: str) -> None:
    """Two in flight, one waiting: the fourth is told 503 before its signature is looked at."""
    release = trio.Event()
    limits = AdmissionSettings(max_in_flight=2, max_waiting=1, max_wait_seconds=30.0)
    configure = partial(settings, service={"admission": limits})
    async with bench(redis_url, backend=Backend(release=release), configure=configure) as b:
        statuses: list[int] = []

        async def relay() -> None:
            statuses.append((await ask(b)).status)

        async with trio.open_nursery() as relays:
            for _ in range(3):
                relays.start_soon(relay)

            async def is_full() -> bool:
                return bool((await page_of(b))["admission"]["service"]["waiting"] == 1)

            await until(is_full)
            with trio.fail_after(1):
                refused = await ask(b)
            assert refused.status == 503
            assert json.loads(refused.body)["error"] == "service is at capacity"
            release.set()
        assert statuses == [200, 200, 200]
        assert len(await b.logged()) == 3
        found = (await page_of(b))["admission"]["service"]
        assert (found["in_flight"], found["waiting"], found["refused"]) == (0, 0, 1)
