"""Several nodes: the best answers, the next one steps in, and what is wrong with one is told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio
from cosmpy.protos.cosmos.base.abci.v1beta1 import abci_pb2
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2

from relayminer.chain.errors import (
    ChainQueryError,
    ChainUnavailableError,
    NodeBehindError,
    NotFoundError,
    WrongChainError,
)
from relayminer.chain.node_watch import NodeWatch
from relayminer.chain.queries import ChainQueries
from relayminer.chain.rpc_nodes import RpcNodes
from relayminer.chain.standing import Fault, NodeBoard
from relayminer.config.chain import ChainSettings
from relayminer.protocol.pb import shared_pb2, supplier_pb2
from relayminer.telemetry.metrics import Metrics
from tests.chain.comet_node import CometNode, block_hash
from tests.chain.grpc_node import GrpcNode, Reply
from tests.chain.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECONDS = 2.0
OK, NOT_FOUND, INTERNAL, UNIMPLEMENTED = 0, 5, 13, 12


@contextlib.asynccontextmanager
async def nodes(count: int, height: int = 10) -> AsyncIterator[list[CometNode]]:
    """So many nodes of one chain at `height`."""
    async with contextlib.AsyncExitStack() as stack:
        found = [await stack.enter_async_context(CometNode().serve()) for _ in range(count)]
        for node in found:
            node.height = height
        yield found


def settings_of(nodes: list[CometNode], **other: object) -> ChainSettings:
    """Settings that rank the nodes as they come."""
    urls = tuple(node.url for node in nodes)
    return ChainSettings(rpc_urls=urls, query_timeout_seconds=SECONDS, **other)  # type: ignore[arg-type]  # test data


@contextlib.contextmanager
def asking(nodes: list[CometNode]) -> Iterator[tuple[RpcNodes, NodeWatch]]:
    """The nodes as one, and the watch over them."""
    settings = settings_of(nodes)
    rpc = RpcNodes(settings, NodeBoard())
    try:
        yield rpc, NodeWatch(rpc, [], settings)
    finally:
        rpc.close()


def faults(rpc: RpcNodes) -> list[Fault | None]:
    """What is held against each node, in the order of their rank."""
    return [member.standing.fault for member in rpc.nodes]


async def test_the_best_node_answers_while_it_can() -> None:
    """The others are not asked."""
    async with nodes(3) as (first, second, third):
        with asking([first, second, third]) as (rpc, _):
            assert (await rpc.block(4)).hash == block_hash(4)
        assert len(first.asked) == 1
        assert second.asked == third.asked == []


async def test_the_next_node_steps_in_and_the_best_one_comes_back() -> None:
    """A node that closes its connections is left at once, and asked first when it is back."""
    async with nodes(2) as (first, second), Proxy(f"127.0.0.1:{first.port}").serve() as proxy:
        urls = (f"http://{proxy.address}", second.url)
        settings = ChainSettings(rpc_urls=urls, query_timeout_seconds=SECONDS)
        rpc = RpcNodes(settings, NodeBoard())
        watch = NodeWatch(rpc, [], settings)
        proxy.cut()
        assert (await rpc.status()).latest_height == 10
        assert faults(rpc) == [Fault.AWAY, None]
        assert rpc.address == f"127.0.0.1:{second.port}"
        assert (await rpc.block(4)).hash == block_hash(4)
        proxy.heal()
        await watch.look()
        assert faults(rpc) == [None, None]
        assert rpc.address == proxy.address
        rpc.close()


async def test_a_stalled_node_costs_a_moment_and_is_left_after_three() -> None:
    """Who does not answer in good time is outrun; after a few times the other is asked first."""
    async with nodes(2) as (first, second):
        first.hangs = True
        with asking([first, second]) as (rpc, _), trio.fail_after(SECONDS * 3):
            for _ in range(3):
                assert (await rpc.status()).latest_height == 10
            assert faults(rpc) == [Fault.SLOW, None]
            asked = len(first.asked)
            assert (await rpc.status()).latest_height == 10
            assert len(first.asked) == asked


async def test_a_node_that_lags_is_left_until_it_has_caught_up() -> None:
    """More than two blocks behind is too much; back in step it is asked first again."""
    async with nodes(2) as (first, second):
        second.height = 12
        with asking([first, second]) as (rpc, watch):
            await watch.look()
            assert faults(rpc) == [None, None]
            second.height = 13
            await watch.look()
            assert faults(rpc) == [Fault.BEHIND, None]
            assert "3 blocks behind" in next(iter(rpc.nodes)).standing.reason
            assert (await rpc.status()).latest_height == 13
            first.height = 13
            await watch.look()
            assert faults(rpc) == [None, None]


async def test_a_block_that_the_best_node_has_not_yet_comes_from_the_next() -> None:
    """One block behind is no fault, and no reason to wait."""
    async with nodes(2) as (first, second):
        second.height = 11
        with asking([first, second]) as (rpc, _):
            assert (await rpc.block(11)).height == 11
            assert faults(rpc) == [None, None]


async def test_a_pruned_block_comes_from_the_node_that_kept_it() -> None:
    """Events of old blocks are asked of all; while one is away nobody says that they are gone."""
    async with nodes(2) as (first, archive):
        first.lowest_height = 8
        with asking([first, archive]) as (rpc, _):
            events = await rpc.finalize_block_events(3)
            assert events[0]["type"] == "asked_3"
        archive.port = 1
        with asking([first, archive]) as (rpc, _), pytest.raises(ChainUnavailableError):
            await rpc.finalize_block_events(3)


async def test_a_node_with_other_blocks_is_left() -> None:
    """Two against one; with one against one the better rank is believed. It is never asked."""
    async with nodes(3) as (first, second, third):
        first.set_back(5, b"fork")
        for node in (first, second, third):
            node.height = 10
        with asking([first, second, third]) as (rpc, watch):
            await watch.look()
            assert faults(rpc) == [Fault.DISAGREES, None, None]
            assert "its block 10 is another one" in next(iter(rpc.nodes)).standing.reason
            assert (await rpc.block(7)).hash == block_hash(7)
            first.fork = b""
            await watch.look()
            assert faults(rpc) == [None, None, None]
        first.set_back(5, b"fork")
        first.height = 10
        with asking([second, first]) as (rpc, watch):
            await watch.look()
            assert faults(rpc) == [None, Fault.DISAGREES]
            second.port = 1
            second.hangs = True
            with pytest.raises(ChainUnavailableError):
                await rpc.block(7)


async def test_a_node_of_another_chain_is_left_and_alone_it_is_told() -> None:
    """As long as one node is of our chain it is asked; if none is, that is the end."""
    async with nodes(2) as (first, second):
        first.chain_id = "other"
        with asking([first, second]) as (rpc, watch):
            assert (await rpc.status()).chain_id == "pocket"
            assert faults(rpc) == [Fault.WRONG_CHAIN, None]
            await watch.look()
            assert faults(rpc) == [Fault.WRONG_CHAIN, None]
            first.chain_id = "pocket"
            await watch.look()
            assert faults(rpc) == [None, None]
        first.chain_id = second.chain_id = "other"
        with asking([first, second]) as (rpc, _), pytest.raises(WrongChainError):
            await rpc.block(3)


class Replies:
    """What a gRPC node answers, changed while it runs."""

    def __init__(self) -> None:
        self.of: dict[str, Reply] = {
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock": (UNIMPLEMENTED, "no", b""),
            "/pocket.shared.Query/Params": (
                OK,
                "",
                shared_pb2.QueryParamsResponse(
                    params=shared_pb2.Params(num_blocks_per_session=7)
                ).SerializeToString(),
            ),
            "/pocket.supplier.Query/Supplier": (
                OK,
                "",
                supplier_pb2.QueryGetSupplierResponse(
                    supplier=shared_pb2.Supplier(operator_address="pokt1")
                ).SerializeToString(),
            ),
        }

    def __call__(self, method: str, request: bytes) -> Reply:
        """The answer of the moment."""
        del request
        return self.of[method]


@contextlib.asynccontextmanager
async def two_grpc() -> AsyncIterator[tuple[GrpcNode, Replies, GrpcNode, Replies, ChainQueries]]:
    """Two gRPC nodes at height 10 and queries to both."""
    said = Replies(), Replies()
    one, two = GrpcNode(said[0]), GrpcNode(said[1])
    one.height = two.height = 10
    with one.serve() as first, two.serve() as second:
        settings = ChainSettings(grpc_urls=(first, second), query_timeout_seconds=SECONDS)
        async with ChainQueries(settings) as queries:
            yield one, said[0], two, said[1], queries


async def test_queries_go_to_the_next_node_when_one_fails() -> None:
    """UNAVAILABLE is of the node; INTERNAL and NOT_FOUND are answers."""
    async with two_grpc() as (one, first, two, second, queries):
        assert (await queries.shared_params()).num_blocks_per_session == 7
        assert two.asked == []
        first.of["/pocket.shared.Query/Params"] = (14, "down", b"")
        assert (await queries.shared_params()).num_blocks_per_session == 7
        assert [one.fault for one in queries.board] == [Fault.AWAY, None]
        second.of["/pocket.supplier.Query/Supplier"] = (INTERNAL, "no such session", b"")
        asked = len(one.asked)
        with pytest.raises(ChainQueryError):
            await queries.supplier("pokt1")
        second.of["/pocket.supplier.Query/Supplier"] = (NOT_FOUND, "not found", b"")
        with pytest.raises(NotFoundError):
            await queries.supplier("pokt1")
        assert len(one.asked) == asked


async def test_a_node_behind_cannot_say_that_something_is_not_there() -> None:
    """Only the other one's word would count, and it is away: then nobody knows."""
    async with two_grpc() as (one, first, two, second, queries):
        watch = NodeWatch(RpcNodes(ChainSettings(), queries.board), queries.groups, ChainSettings())
        two.height = 5
        await watch.look()
        behind = [standing for standing in queries.board if standing.kind.value == "grpc"]
        assert [standing.fault for standing in behind] == [None, Fault.BEHIND]
        first.of["/pocket.supplier.Query/Supplier"] = (14, "down", b"")
        second.of["/pocket.supplier.Query/Supplier"] = (NOT_FOUND, "not found", b"")
        with pytest.raises(ChainUnavailableError):
            await queries.supplier("pokt1")
        second.of["/pocket.supplier.Query/Supplier"] = first.of["/pocket.shared.Query/Params"]
        del one
        await queries.shared_params()


async def test_claims_of_a_state_too_old_come_from_the_next_node() -> None:
    """Who is below the height that is needed has no say, and is not at fault."""
    async with two_grpc() as (one, first, _, second, queries):
        empty: Reply = (OK, "", b"")
        first.of["/pocket.proof.Query/AllClaims"] = empty
        second.of["/pocket.proof.Query/AllClaims"] = empty
        one.height = 9
        assert await queries.claims_of("pokt1", min_height=10) == []
        assert [standing.fault for standing in queries.board] == [None, None]
        with pytest.raises(NodeBehindError):
            await queries.claims_of("pokt1", min_height=11)


def broadcast_reply(code: int, codespace: str = "") -> Reply:
    """A mempool's answer."""
    answer = service_pb2.BroadcastTxResponse(
        tx_response=abci_pb2.TxResponse(txhash="AB", code=code, codespace=codespace)
    )
    return OK, "", answer.SerializeToString()


BROADCAST = "/cosmos.tx.v1beta1.Service/BroadcastTx"


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (broadcast_reply(0), broadcast_reply(0), 0),
        (broadcast_reply(1121, "proof"), broadcast_reply(0), 0),
        (broadcast_reply(19, "sdk"), broadcast_reply(5, "sdk"), 19),
        ((14, "down", b""), broadcast_reply(0), 0),
        (broadcast_reply(13, "sdk"), broadcast_reply(20, "sdk"), 13),
        ((14, "down", b""), broadcast_reply(20, "sdk"), 20),
    ],
)
async def test_all_nodes_are_told_of_a_transaction(first: Reply, second: Reply, code: int) -> None:
    """One acceptance is enough; without one the best node's word counts."""
    async with two_grpc() as (one, said, two, also, queries):
        said.of[BROADCAST], also.of[BROADCAST] = first, second
        answer = await queries.broadcast(b"tx")
        assert answer.code == code
        assert [method for method, _ in one.asked] == [BROADCAST]
        assert [method for method, _ in two.asked] == [BROADCAST]


async def test_nodes_of_their_own_for_transactions() -> None:
    """With `broadcast_urls` the nodes of queries get no transaction."""
    said = Replies(), Replies()
    for one in said:
        one.of[BROADCAST] = broadcast_reply(0)
    asked, told = GrpcNode(said[0]), GrpcNode(said[1])
    with asked.serve() as first, told.serve() as second:
        settings = ChainSettings(grpc_urls=(first,), broadcast_urls=(second,))
        async with ChainQueries(settings) as queries:
            await queries.shared_params()
            assert (await queries.broadcast(b"tx")).code == 0
            assert len(queries.groups) == 2
    assert [method for method, _ in asked.asked] == ["/pocket.shared.Query/Params"]
    assert [method for method, _ in told.asked] == [BROADCAST]


async def test_nobody_accepts_and_nobody_answers() -> None:
    """When no node replies it is not known what became of the transaction."""
    async with two_grpc() as (_, first, _, second, queries):
        first.of[BROADCAST] = second.of[BROADCAST] = (14, "down", b"")
        with pytest.raises(ChainUnavailableError):
            await queries.broadcast(b"tx")


async def test_metrics_show_every_node() -> None:
    """Height, usability and which node is asked first."""
    async with nodes(2) as (first, second):
        second.height = 20
        with asking([first, second]) as (rpc, watch):
            metrics = Metrics()
            rpc.nodes.board.show(metrics)
            await watch.look()
            text = metrics.page().decode()
            name = f'kind="rpc",node="127.0.0.1:{first.port}"'
            assert f"relayminer_chain_node_height{{{name}}} 10.0" in text
            assert f"relayminer_chain_node_usable{{{name}}} 0.0" in text
            assert f"relayminer_chain_node_chosen{{{name}}} 0.0" in text
            assert f'relayminer_chain_node_faults{{fault="behind",{name}}} 1.0' in text
