"""gRPC calls from Trio: deadlines, cancellation, limits, nodes that are not there."""

from __future__ import annotations

import threading

import pytest
import trio

from relayminer.chain.accounts import unpack_account
from relayminer.chain.errors import ChainQueryError, ChainUnavailableError
from relayminer.chain.grpc_channel import GrpcChannel, grpc_target
from relayminer.chain.queries import ChainQueries
from relayminer.config.chain import ChainSettings
from relayminer.protocol.pb import proof_pb2, shared_pb2
from tests.chain.grpc_node import GrpcNode, Reply

PARAMS = "/pocket.shared.Query/Params"


async def ask(channel: GrpcChannel, timeout_seconds: float | None = None) -> shared_pb2.Params:
    """One query."""
    answer = await channel.call(
        PARAMS,
        shared_pb2.QueryParamsRequest(),
        shared_pb2.QueryParamsResponse,
        timeout_seconds=timeout_seconds,
    )
    return answer.params


class SlowNode:
    """Answers when it is let go, and counts how many wait."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.full = threading.Semaphore(0)
        self.waiting = 0
        self.most_waiting = 0
        self._lock = threading.Lock()

    def reply(self, _method: str, _request: bytes) -> Reply:
        """Wait, then answer."""
        with self._lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        self.full.release()
        self.go.wait(10)
        with self._lock:
            self.waiting -= 1
        return 0, "", b""


async def test_a_slow_answer_is_unavailable_by_its_deadline() -> None:
    """A deadline holds, and while one waits the loop goes on."""
    slow = SlowNode()
    with GrpcNode(slow.reply).serve() as target:
        async with GrpcChannel(target, insecure=True, timeout_seconds=0.2, max_concurrent=2) as one:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await trio.sleep(0.005)
                    ticks += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                with pytest.raises(ChainUnavailableError):
                    await ask(one)
                nursery.cancel_scope.cancel()
            assert ticks > 10
        slow.go.set()


async def test_a_cancelled_query_leaves_at_once() -> None:
    """Cancelling waits for nobody."""
    slow = SlowNode()
    with GrpcNode(slow.reply).serve() as target:
        async with GrpcChannel(target, insecure=True, timeout_seconds=60, max_concurrent=1) as one:
            with trio.fail_after(5), trio.move_on_after(0.05) as scope:
                await ask(one)
            assert scope.cancelled_caught
            slow.go.set()
            # The turn was given back.
            await ask(one)


async def test_queries_in_flight_are_bounded() -> None:
    """No more calls at once than the settings say."""
    slow = SlowNode()
    with GrpcNode(slow.reply).serve() as target:
        async with (
            GrpcChannel(target, insecure=True, timeout_seconds=10, max_concurrent=3) as one,
            trio.open_nursery() as nursery,
        ):
            for _ in range(9):
                nursery.start_soon(ask, one)
            for _ in range(3):
                await trio.to_thread.run_sync(slow.full.acquire)
            slow.go.set()
    assert slow.most_waiting == 3


async def test_a_node_that_is_away_is_unavailable_and_found_when_it_is_back() -> None:
    """The channel reconnects by itself."""
    node = GrpcNode(lambda _method, _request: (0, "", b""))
    with node.serve() as target:
        pass
    async with GrpcChannel(target, insecure=True, timeout_seconds=1, max_concurrent=1) as one:
        with pytest.raises(ChainUnavailableError):
            await ask(one)
    with node.serve() as target:
        async with GrpcChannel(target, insecure=True, timeout_seconds=5, max_concurrent=1) as one:
            assert await ask(one) == shared_pb2.Params()
        with pytest.raises(ChainUnavailableError, match="is closed"):
            await ask(one)


async def test_plaintext_to_a_tls_client_is_unavailable() -> None:
    """The wrong `grpc_insecure` is told as a connection that cannot be had."""
    with GrpcNode(lambda _method, _request: (0, "", b"")).serve() as target:
        async with GrpcChannel(target, insecure=False, timeout_seconds=2, max_concurrent=1) as one:
            with pytest.raises(ChainUnavailableError):
                await ask(one)


@pytest.mark.parametrize("response", [b"\xff\xff", b"\x0a\x05ab"])
async def test_an_answer_that_does_not_decode_is_a_query_error(response: bytes) -> None:
    """Garbage is told as such."""
    with GrpcNode(lambda _method, _request: (0, "", response)).serve() as target:
        async with GrpcChannel(target, insecure=True, timeout_seconds=2, max_concurrent=1) as one:
            with pytest.raises(ChainQueryError, match="no QueryParamsResponse"):
                await ask(one)


async def test_pages_of_claims_are_followed_to_the_end() -> None:
    """Every page is asked for with the key of the one before."""
    pages = [b"a", b"b", b""]
    keys: list[bytes] = []

    def reply(_method: str, request: bytes) -> Reply:
        keys.append(proof_pb2.QueryAllClaimsRequest.FromString(request).pagination.key)
        answer = proof_pb2.QueryAllClaimsResponse(claims=[proof_pb2.Claim()] * 2)
        answer.pagination.next_key = pages[len(keys) - 1]
        return 0, "", answer.SerializeToString()

    with GrpcNode(reply).serve() as target:
        async with ChainQueries(ChainSettings(grpc_url=target)) as chain:
            assert len(await chain.claims_of("pokt1x")) == 6
    assert keys == [b"", b"a", b"b"]


async def test_claims_of_an_older_state_are_no_answer() -> None:
    """A node that lags behind the height that matters counts as one that does not answer."""
    node = GrpcNode(lambda _method, _request: (0, "", b""))
    with node.serve() as target:
        async with ChainQueries(ChainSettings(grpc_url=target)) as chain:
            for node.height in (0, 7, 8):
                assert await chain.claims_of("pokt1x", 7) == []
            node.height = 6
            assert await chain.claims_of("pokt1x") == []
            with pytest.raises(ChainUnavailableError, match="from height 6, 7 is needed"):
                await chain.claims_of("pokt1x", 7)


async def test_pages_that_do_not_advance_are_an_error() -> None:
    """A node that repeats itself does not keep us for ever."""
    answer = proof_pb2.QueryAllClaimsResponse()
    answer.pagination.next_key = b"same"
    reply = (0, "", answer.SerializeToString())
    with GrpcNode(lambda _method, _request: reply).serve() as target:
        async with ChainQueries(ChainSettings(grpc_url=target)) as chain:
            with pytest.raises(ChainQueryError, match="do not end"):
                await chain.claims_of("pokt1x")


@pytest.mark.parametrize("url", ["grpcs://h:1", "grpc://h:1", "https://h:1/", "http://h:1", "h:1"])
def test_schemes_in_front_of_a_target_are_ignored(url: str) -> None:
    """Operators write gRPC addresses in many ways."""
    assert grpc_target(url) == "h:1"


def test_an_account_of_an_unknown_type_is_an_error() -> None:
    """Nothing is guessed about accounts."""
    with pytest.raises(ChainQueryError, match="unknown account type"):
        unpack_account("/x.y.Account", b"")
