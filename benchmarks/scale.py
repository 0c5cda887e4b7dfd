"""One miner for a whole fleet: every claim and every proof inside its window.

A devnet with a clock, one miner process, and for every session that a supplier is in a few really
signed relays, put into the logs as a relayer does. Then nothing is done but waiting; the ledger
says when each claim and each proof was on chain, and what was settled.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import trio
import yaml
from attrs import field, frozen

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.ingest import resident_mb
from benchmarks.processes import BenchmarkError, Child, relayminer
from benchmarks.sample import response_payload, signed_request
from relayminer.config.settings import NamespaceSettings, RedisSettings
from relayminer.devnet.chain.make_genesis import COMPUTE_UNITS_PER_RELAY
from relayminer.devnet.info import INFO_FILE, DevnetInfo, read_info
from relayminer.gateway.chain import GatewayChain, OpenSession
from relayminer.protocol.pb.mined_relay_pb2 import MinedRelayMessage
from relayminer.protocol.relay import sign_response, stored_relay
from relayminer.protocol.signature import SigningKey
from relayminer.state.embedded import open_store
from relayminer.state.names import KeyNames
from relayminer.story.accounts import OPEN, SETTLED
from relayminer.story.books import Books
from relayminer.testing.store import running_gateway

if TYPE_CHECKING:
    from rich.console import Console

    from relayminer.devnet.info import Party
    from relayminer.state.gateway import Redis
    from relayminer.story.accounts import Account

SERVICES: Final = 10
RELAYS: Final = 20
SESSION_BLOCKS: Final = 10
FIRST_HEIGHT: Final = 11
"""The first session keeps the params of the genesis."""
SETTLED_AFTER_BLOCKS: Final = 25
START_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.5


@frozen
class Scale:
    """How large the fleet is.

    Attributes:
        per_session: suppliers of each session; there is one session for each service.
        block_seconds: of the devnet.
    """

    suppliers: int = 600
    per_session: int = 60
    block_seconds: float = 5.0


@frozen
class Outcome:
    """What became of the sessions."""

    accounts: list[Account] = field(repr=False)
    cpu_seconds: float
    resident_mb: float

    def delays(self, step: str, window_opens_after: int) -> list[int]:
        """Blocks from the opening of the window to the first block that shows a step."""
        return [
            entry.number("height") - account.session_end_height - window_opens_after
            for account in self.accounts
            for entry in account.entries
            if entry.step == step
        ]


def scale_figures(scale: Scale, console: Console) -> list[Figure]:
    """Sessions settled and lost, how late in their windows, and what it took."""
    with tempfile.TemporaryDirectory(prefix="relayminer-bench-") as directory:
        found = trio.run(_measure, scale, Path(directory), console)
    outcomes = Counter(account.outcome for account in found.accounts)
    sessions = len(found.accounts)
    if not sessions:
        raise BenchmarkError("the ledger has no sessions")
    claims = found.delays("claim_included", 2) or [-1]
    proofs = found.delays("proof_validated", 6) or [-1]
    return [
        Figure("scale_suppliers", scale.suppliers, ""),
        Figure("scale_sessions", sessions, ""),
        at_least("scale_sessions_settled", outcomes[SETTLED], "", sessions),
        at_most("scale_sessions_not_settled", sessions - outcomes[SETTLED], "", 0),
        Figure("scale_relays_settled", sum(one.relays for one in found.accounts), ""),
        Figure("scale_claim_seen_after_blocks_p50", median(claims), "blocks"),
        Figure("scale_claim_seen_after_blocks_max", max(claims), "blocks"),
        Figure("scale_proof_seen_after_blocks_p50", median(proofs), "blocks"),
        Figure("scale_proof_seen_after_blocks_max", max(proofs), "blocks"),
        Figure("scale_miner_cpu_ms_per_session", found.cpu_seconds * 1e3 / sessions, "ms"),
        Figure("scale_miner_resident_mb", found.resident_mb, "MB"),
    ]


async def _measure(scale: Scale, directory: Path, console: Console) -> Outcome:
    with _devnet(scale, directory) as devnet:
        devnet.wait_until((directory / "devnet" / INFO_FILE).exists, "the devnet", START_SECONDS)
        info = read_info(directory / "devnet")
        changed = {"num_suppliers_per_session": str(scale.per_session)}
        _post(f"{info.control_url}/control/params/session", changed)
        async with (
            open_store(RedisSettings(), directory / "home") as url,
            running_gateway(url, RedisSettings(command_timeout_seconds=60)) as redis,
        ):
            with _miner(info, scale, directory) as miner:
                await _owned(redis, info, miner)
                return await _one_session(scale, info, redis, miner, console)


async def _one_session(
    scale: Scale, info: DevnetInfo, redis: Redis, miner: Child, console: Console
) -> Outcome:
    height = await _reach(info, _session_start(await _height(info) + SESSION_BLOCKS), scale)
    started = time.perf_counter()
    async with GatewayChain(info.grpc_url) as chain:
        sessions = [
            await chain.open_session(service, application.address)
            for application in info.applications
            for service in application.service_ids
        ]
    end_height = sessions[0].header.session_end_block_height
    pairs = await _fill(redis, info, sessions)
    console.print(
        f"{pairs} sessions of suppliers with {RELAYS} relays each, logged in "
        f"{time.perf_counter() - started:.1f} s, at height {height} to {await _height(info)} of a "
        f"session that ends at {end_height}"
    )
    if await _height(info) > end_height:
        raise BenchmarkError("the session was over before its relays were signed: longer blocks")
    names = KeyNames(NamespaceSettings())
    cpu = miner.cpu_seconds()
    deadline = end_height + SETTLED_AFTER_BLOCKS
    while True:
        await trio.sleep(POLL_SECONDS)
        accounts = [
            account
            for account in await Books(redis, names).accounts()
            if account.session_end_height == end_height
        ]
        done = [account for account in accounts if account.outcome != OPEN]
        if len(done) == pairs or await _height(info) > deadline:
            break
    for account in accounts:
        if account.outcome != SETTLED:
            console.print(f"{account.outcome}: {account.cause} {account.reason}")
    if len(accounts) < pairs:
        console.print(f"{pairs - len(accounts)} sessions are not in the ledger:\n{miner.tail()}")
    return Outcome(accounts, miner.cpu_seconds() - cpu, resident_mb(miner.pid))


async def _fill(redis: Redis, info: DevnetInfo, sessions: list[OpenSession]) -> int:
    """Sign and log the relays; returns how many sessions of suppliers there are."""
    names = KeyNames(NamespaceSettings())
    gateway = SigningKey((info.gateways or info.applications)[0].secret)
    suppliers = {one.address: one for one in info.suppliers}
    pairs = 0
    for session in sessions:
        for address in session.endpoints:
            entries = [_entry(session, suppliers[address], gateway, n) for n in range(RELAYS)]
            key = names.stream_key(address)
            await redis.pipeline([("XADD", key, "*", "data", entry) for entry in entries])
            pairs += 1
    return pairs


def _entry(session: OpenSession, supplier: Party, gateway: SigningKey, number: int) -> bytes:
    """A relay as a relayer logs it, valid in every respect."""
    header = session.header
    request = signed_request(header, supplier.address, session.ring, gateway, number)
    response = sign_response(header, response_payload(), SigningKey(supplier.secret))
    stored = stored_relay(request, response)
    return MinedRelayMessage(
        relay_hash=stored.relay_hash,
        relay_bytes=stored.relay_bytes,
        compute_units_per_relay=COMPUTE_UNITS_PER_RELAY,
        session_id=header.session_id,
        session_start_height=header.session_start_block_height,
        session_end_height=header.session_end_block_height,
        supplier_operator_address=supplier.address,
        service_id=header.service_id,
        application_address=header.application_address,
        arrival_block_height=header.session_start_block_height,
        published_at_unix_nano=1,
    ).SerializeToString()


def _devnet(scale: Scale, directory: Path) -> Child:
    ports = ("--rpc-port", "0", "--grpc-port", "0", "--control-port", "0")
    shape = (
        *("--suppliers", str(scale.suppliers), "--services", str(SERVICES)),
        *("--applications", str(SERVICES), "--block-time", f"{scale.block_seconds}s"),
    )
    words = relayminer("devnet", "--home", str(directory / "devnet"), *ports, *shape)
    return Child("devnet", words, directory)


def _miner(info: DevnetInfo, scale: Scale, directory: Path) -> Child:
    path = directory / "relayminer.yaml"
    settings = {
        "chain": {
            "chain_id": info.chain_id,
            "rpc_url": info.rpc_url,
            "grpc_url": info.grpc_url,
            "block_time_seconds": scale.block_seconds,
        },
        "keys": {"keys_file": info.supplier_keys_file},
        "control": {"listen": "127.0.0.1:0", "enabled": False},
        "logging": {"level": "warning"},
    }
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    where = ("--config", str(path), "--home", str(directory / "home"))
    return Child("miner", relayminer("run", *where, "--roles", "miner,cache-leader"), directory)


async def _owned(redis: Redis, info: DevnetInfo, miner: Child) -> None:
    """Wait until the miner reads every supplier's log."""
    names = KeyNames(NamespaceSettings())
    deadline = trio.current_time() + START_SECONDS
    for supplier in info.suppliers:
        while not await redis.command("EXISTS", names.miner_claim_key(supplier.address)):
            if trio.current_time() > deadline:
                raise BenchmarkError(f"not every supplier is owned:\n{miner.tail()}")
            await trio.sleep(POLL_SECONDS)


async def _reach(info: DevnetInfo, wanted: int, scale: Scale) -> int:
    """Wait until the chain is there; returns its height."""
    while True:
        height = await _height(info)
        if height >= wanted:
            return height
        await trio.sleep(min(POLL_SECONDS, scale.block_seconds / 4))


def _session_start(height: int) -> int:
    start = (height - 1) // SESSION_BLOCKS * SESSION_BLOCKS + 1
    return max(start, FIRST_HEIGHT)


async def _height(info: DevnetInfo) -> int:
    def ask() -> int:
        with urllib.request.urlopen(f"{info.rpc_url}/status", timeout=30) as answer:  # noqa: S310 - our own devnet
            return int(json.load(answer)["result"]["sync_info"]["latest_block_height"])

    return await trio.to_thread.run_sync(ask)


def _post(url: str, body: dict[str, str]) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method="POST")  # noqa: S310 - our own devnet
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        answer.read()
