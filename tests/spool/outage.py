"""A store that a test can take away, and clients that remember what they were answered."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from relayminer.config.settings import RedisSettings
from relayminer.protocol import codec
from relayminer.protocol.mined_relay import decode_mined_relay
from relayminer.protocol.pb.service_pb2 import RelayResponse
from relayminer.protocol.relay import stored_relay
from relayminer.state.embedded import EmbeddedStore
from relayminer.state.server_process import wait_for_exit
from relayminer.state.store_home import store_home
from tests.relayer.client import connect
from tests.relayer.kit import bench, request_body, settings, signed_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from relayminer.config.settings import RelayerSettings
    from tests.relayer.client import Client
    from tests.relayer.kit import Bench


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it holds."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is looked at has no event
            await trio.sleep(0.01)


@asynccontextmanager
async def client_of(bench: Bench) -> AsyncIterator[Client]:
    """One connection to the relayer."""
    client = await connect(bench.address)
    try:
        yield client
    finally:
        client.wire.close()


@define
class Store:
    """A server that nobody starts again but the test."""

    home: Path
    shares: list[EmbeddedStore] = field(factory=list)

    @property
    def url(self) -> str:
        """Where it is, also while it is not."""
        return self.shares[0].url

    @property
    def pid(self) -> int:
        """Of the server that runs."""
        return self.shares[-1].pid

    async def start(self) -> None:
        """Start it on what it had."""
        share = EmbeddedStore(store_home(self.home))
        await share.join()
        self.shares.append(share)

    async def kill(self) -> None:
        """`kill -9`."""
        os.kill(self.pid, signal.SIGKILL)
        await wait_for_exit(self.pid)

    def freeze(self) -> None:
        """It stays connected and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, with all that was sent to it meanwhile."""
        os.kill(self.pid, signal.SIGCONT)


@asynccontextmanager
async def own_store(home: Path) -> AsyncIterator[Store]:
    """A running store."""
    store = Store(home)
    await store.start()
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            for share in store.shares:
                await share.leave()


PATIENCE = RedisSettings(command_timeout_seconds=1.0, reconnect_backoff_max_seconds=0.2)
SPOOLING = partial(settings, publish_timeout_seconds=0.3)
REFUSING = partial(settings, publish_timeout_seconds=0.3, when_store_away="refuse")


@asynccontextmanager
async def relayer_and_store(
    folder: Path, configure: Callable[[str], RelayerSettings] = SPOOLING
) -> AsyncIterator[tuple[Bench, Store]]:
    """A relayer with a home, on a store of its own."""
    async with (
        own_store(folder / "store") as store,
        bench(
            store.url, configure=configure, home=folder / "node", redis_settings=PATIENCE
        ) as relayer,
    ):
        yield relayer, store


async def replayed(relayer: Bench) -> None:
    """Wait until nothing is spooled any more."""
    await until(
        lambda: (
            not relayer.value("ha_relayer_spool_relays")
            and not relayer.value("ha_relayer_spool_store_away")
        )
    )


async def logged_once(relayer: Bench, sent: Load) -> None:
    """Every answer is in the log, and nothing is there twice."""
    logged = await logged_hashes(relayer)
    assert set(sent.answered) <= set(logged)
    assert set(logged.values()) == {1}


@define
class Load:
    """Clients that send one fresh relay after the other.

    Attributes:
        answered: relay hashes of what came back signed.
        refused: HTTP statuses of the rest.
        seconds: the longest that an answer took.
    """

    bench: Bench
    answered: list[bytes] = field(factory=list)
    refused: Counter[int] = field(factory=Counter)
    seconds: float = 0.0
    stopping: bool = False

    async def client(self) -> None:
        """Until told to stop."""
        async with client_of(self.bench) as connection:
            while not self.stopping:
                await self._relay(connection)

    async def _relay(self, connection: Client) -> None:
        request = signed_request(self.bench.chain)
        began = trio.current_time()
        answer = await connection.send(request_body(request))
        self.seconds = max(self.seconds, trio.current_time() - began)
        if answer.status == 200:
            response = codec.decode(RelayResponse, answer.body)
            self.answered.append(stored_relay(request, response).relay_hash)
        else:
            self.refused[answer.status] += 1

    async def answers(self, more: int) -> None:
        """Wait for so many more signed answers."""
        wanted = len(self.answered) + more
        await until(lambda: len(self.answered) >= wanted)


@asynccontextmanager
async def load(bench: Bench, clients: int = 16) -> AsyncIterator[Load]:
    """Clients that send while the block runs; at its end all have their answers."""
    running = Load(bench)
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(running.client)
        yield running
        running.stopping = True


async def logged_hashes(bench: Bench) -> Counter[bytes]:
    """Relay hashes in the log, with how often each is there."""
    entries = await bench.logged()
    return Counter(decode_mined_relay(fields[1]).relay_hash for _, fields in entries)
