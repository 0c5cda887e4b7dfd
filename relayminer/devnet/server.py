"""A whole devnet: node, RPC, gRPC, control surface and demo backend in one nursery."""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from relayminer.devnet.backend import JsonRpcBackend
from relayminer.devnet.backend_grpc import DemoServicer
from relayminer.devnet.backend_server import serve_backend
from relayminer.devnet.chain import Chain, load_genesis, make_genesis
from relayminer.devnet.control import Control
from relayminer.devnet.control_app import create_control_app
from relayminer.devnet.describe import describe
from relayminer.devnet.faults import WireFaults
from relayminer.devnet.grpc_server import serve_grpc, serve_servicer
from relayminer.devnet.identity import NodeIdentity
from relayminer.devnet.info import write_info, write_supplier_keys
from relayminer.devnet.node import Node
from relayminer.devnet.rpc import create_rpc_app
from relayminer.devnet.rpc_methods import RpcMethods
from relayminer.devnet.sockets import open_listener, port_of
from relayminer.devnet.subscriptions import EventBus
from relayminer.devnet.web import serve_web

if TYPE_CHECKING:
    import socket

    from relayminer.devnet.info import DevnetInfo
    from relayminer.devnet.options import DevnetOptions

DEFAULT_BACKEND_GRPC_PORT = 50051


@frozen
class Devnet:
    """A running devnet, for those who share its process.

    Attributes:
        info: what it wrote for other processes.
        node: the chain and its clock; `node.step()` makes blocks.
        backend: the demo backend, None when there is none.
    """

    info: DevnetInfo
    node: Node
    backend: JsonRpcBackend | None


async def run_devnet(
    options: DevnetOptions,
    *,
    task_status: trio.TaskStatus[Devnet] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a devnet until cancelled; reports itself once every port answers.

    Raises:
        OSError: a port is taken, or a file cannot be written.
        GenesisError: the genesis document is not one.
    """
    chain = make_chain(options)
    node = Node(
        chain,
        EventBus(buffer_events=options.subscription_buffer),
        block_time_seconds=options.block_time_seconds,
        now_ns=time.time_ns,
        faults=WireFaults(),
    )
    backend = None
    if options.with_backend:
        backend = JsonRpcBackend(random.Random(options.seed).random)  # noqa: S311 - no secret
    with ExitStack() as stack:

        def listen(port: int) -> socket.socket:
            return stack.enter_context(open_listener(options.host, port))

        rpc, grpc = listen(options.rpc_port), listen(options.grpc_port)
        control = listen(options.control_port)
        demo = None if backend is None else listen(options.backend_port)
        demo_grpc = None if backend is None else listen(_grpc_port(options))
        rpc_url = f"{options.host}:{port_of(rpc)}"
        methods = RpcMethods(node, NodeIdentity(chain.chain_id, f"tcp://{rpc_url}"))
        rpc_app = create_rpc_app(methods, node.bus, node.faults, write_buffer=options.write_buffer)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            await nursery.start(serve_web, rpc_app, rpc)
            await nursery.start(serve_grpc, node, grpc)
            await nursery.start(serve_web, create_control_app(Control(node)), control)
            backend_url = backend_grpc = ""
            if backend is not None and demo is not None and demo_grpc is not None:
                backend_url = f"http://{options.host}:{port_of(demo)}"
                backend_grpc = f"{options.host}:{port_of(demo_grpc)}"
                await nursery.start(serve_backend, backend, demo)
                await nursery.start(serve_servicer, DemoServicer(backend), demo_grpc)
            info = describe(
                options,
                chain,
                rpc_url=f"http://{rpc_url}",
                grpc_url=f"{options.host}:{port_of(grpc)}",
                control_url=f"http://{options.host}:{port_of(control)}",
                backend_url=backend_url,
                backend_grpc=backend_grpc,
            )
            write_supplier_keys(options.home, info.suppliers)
            write_info(options.home, info)
            task_status.started(Devnet(info, node, backend))


def _grpc_port(options: DevnetOptions) -> int:
    if options.backend_grpc_port is not None:
        return options.backend_grpc_port
    return DEFAULT_BACKEND_GRPC_PORT if options.backend_port else 0


def make_chain(options: DevnetOptions) -> Chain:
    """The chain that the options describe, before its first block."""
    if options.genesis is not None:
        genesis = load_genesis(json.loads(options.genesis.read_text(encoding="utf-8")))
    else:
        genesis = make_genesis(
            seed=f"devnet/{options.seed}".encode(),
            # Names of our own: each of these services is staked for JSON-RPC.
            services=[f"svc{number}" for number in range(1, options.services + 1)],
            suppliers=options.suppliers,
            applications=options.applications,
            gateways=options.gateways,
            relayer_url=options.relayer_url,
        )
    return Chain(
        genesis,
        min_gas_price_upokt=options.min_gas_price_upokt,
        mempool_size=options.mempool_txs,
    )
