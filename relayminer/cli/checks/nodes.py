"""What `relayminer check` looks at in the chain's nodes: each one, and whether they agree."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

import attrs
import trio

from relayminer.chain.errors import ChainError
from relayminer.chain.node_watch import NodeWatch
from relayminer.chain.queries import ChainQueries
from relayminer.chain.rpc_nodes import RpcNodes
from relayminer.chain.standing import Fault, Kind, Standing
from relayminer.cli.checks import clock
from relayminer.cli.checks.clock import Reading
from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding

if TYPE_CHECKING:
    from relayminer.chain.rpc import CometRpc
    from relayminer.chain.standing import Member, NodeBoard
    from relayminer.config.settings import Settings

LATE_BLOCKS: Final = 5
"""A newest block older than this many block times means a node that is stuck."""

_NANOSECONDS: Final = 1_000_000_000
_REMEDIES: Final = {
    Fault.AWAY: "is the node up, and its address right?",
    Fault.SLOW: "look after the node, or rank it lower",
    Fault.BEHIND: "wait until the node is synced",
    Fault.DISAGREES: "one of these nodes is on a fork: ask another one, and take it out",
    Fault.WRONG_CHAIN: "set chain.chain_id, or ask a node of the right chain",
}


async def check_rpc_nodes(settings: Settings, readings: list[Reading]) -> list[Finding]:
    """Every RPC node answers, is of the right chain, and its newest block is new.

    What their clocks say of ours is added to `readings`.
    """
    async with ChainQueries(settings.chain) as queries:
        rpc = RpcNodes(settings.chain, queries.board)
        try:
            await NodeWatch(rpc, [], settings.chain).look()
            found: dict[int, Finding] = {}
            async with trio.open_nursery() as nursery:
                for member in rpc.nodes:
                    nursery.start_soon(_check_rpc, settings, member, queries.board, found)
                    if member.standing.is_usable:
                        nursery.start_soon(_read_clock, member, readings)
        finally:
            rpc.close()
    return [found[rank] for rank in sorted(found)]


async def check_grpc_nodes(settings: Settings) -> list[Finding]:
    """Every gRPC node answers, is of the right chain, and not behind the others."""
    async with ChainQueries(settings.chain) as queries:
        rpc = RpcNodes(settings.chain, queries.board)
        try:
            await NodeWatch(rpc, queries.groups, settings.chain).look()
        finally:
            rpc.close()
        return [
            _finding(standing, queries.board)
            for standing in queries.board
            if standing.kind is not Kind.RPC
        ]


async def _read_clock(member: Member[CometRpc], readings: list[Reading]) -> None:
    """What a node's clock and its newest block say of ours, if it tells them."""
    name = f"the node {member.standing.name}"
    with contextlib.suppress(ChainError):
        status = await member.client.status()
        if status.latest_height:
            block_seconds = status.latest_time_ns / _NANOSECONDS
            readings.append(Reading(f"the newest block of {name}", block_seconds - time.time()))
        asked_at = time.time()
        told = await member.client.server_time()
        if told is not None:
            readings.append(clock.of_whole_seconds(name, asked_at, told, time.time()))


async def _check_rpc(
    settings: Settings, member: Member[CometRpc], board: NodeBoard, found: dict[int, Finding]
) -> None:
    standing = member.standing
    try:
        status = await member.client.status() if standing.is_usable else None
    except ChainError as error:
        status = None
        board.hold_against(standing, Fault.AWAY, str(error))
    finding = _finding(standing, board)
    if standing.fault is Fault.WRONG_CHAIN:
        with contextlib.suppress(ChainError):
            found_id = (await member.client.status()).chain_id
            remedy = f"set chain.chain_id: {found_id}, or ask a node of the right chain"
            finding = attrs.evolve(finding, remedy=remedy)
    elif status is not None:
        age_seconds = (time.time_ns() - status.latest_time_ns) / _NANOSECONDS
        what = f"{standing.name}: chain {status.chain_id}, height {status.latest_height}"
        if status.latest_height == 0:
            remedy = "wait for the first block"
            finding = Finding(finding.subject, WARN, f"{what}, no block yet", remedy)
        elif age_seconds > LATE_BLOCKS * settings.chain.block_time_seconds:
            what = f"{what}, newest block {age_seconds:.0f} s old"
            remedy = "is the node stuck, or chain.block_time_seconds off?"
            finding = Finding(finding.subject, WARN, what, remedy)
        else:
            finding = Finding(finding.subject, OK, what)
    found[standing.rank] = finding


def _finding(standing: Standing, board: NodeBoard) -> Finding:
    """What is held against a node; with another one to ask it is no failure."""
    peers = [one for one in board if one.kind is standing.kind]
    names = {Kind.RPC: "chain RPC", Kind.GRPC: "chain gRPC", Kind.BROADCAST: "broadcast"}
    subject = names[standing.kind]
    if len(peers) > 1:
        subject = f"{subject} {standing.rank + 1}"
    if standing.fault is None:
        height = f", height {standing.height}" if standing.height else ""
        return Finding(subject, OK, f"{standing.name}{height}")
    result = WARN if any(one.is_usable for one in peers) else FAIL
    return Finding(
        subject, result, f"{standing.name}: {standing.reason}", _REMEDIES[standing.fault]
    )
