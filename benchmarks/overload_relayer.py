"""The relayer that `benchmarks.overload` drives: its store, its backend and a chain in a file.

It writes signed relays to the file `corpus` in its directory, prints its port, and serves until it
is terminated.

    python -m benchmarks.overload_relayer DIRECTORY
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import trio

from benchmarks.load_client import write_corpus
from benchmarks.overload import BACKEND_SECONDS, CORPUS, MAX_IN_FLIGHT
from benchmarks.processes import until_told
from relayminer.config.settings import RedisSettings
from relayminer.config.traffic import AdmissionSettings
from relayminer.net.http1 import HttpLimits, RequestReader, response_bytes
from relayminer.net.wire import Wire
from relayminer.state.embedded import open_store
from relayminer.testing.backend import Backend
from relayminer.testing.relayer import Bench, bench, settings
from relayminer.testing.small_chain import SmallChain, request_body, signed_request

if TYPE_CHECKING:
    import socket

HEIGHT = 15
BLOCK_SECONDS = 5.0


class SlowBackend(Backend):
    """A node that takes its time."""

    async def _serve(self, accepted: socket.socket) -> None:
        wire = Wire(accepted)
        reader = RequestReader(wire, HttpLimits())
        try:
            while await reader.next() is not None:
                await trio.sleep(BACKEND_SECONDS)
                await wire.send(response_bytes(200, b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'))
        finally:
            wire.close()


async def serve(directory: Path) -> None:
    """Serve until told to end."""
    chain = SmallChain()
    requests = [request_body(signed_request(chain)) for _ in range(CORPUS)]
    write_corpus(directory / "corpus", requests)
    limits = AdmissionSettings(max_in_flight=MAX_IN_FLIGHT)
    configure = partial(settings, service={"admission": limits})
    async with (
        open_store(RedisSettings(), directory / "home") as url,
        bench(url, chain=chain, backend=SlowBackend(), configure=configure) as b,
    ):
        sys.stdout.write(f"{b.address[1]}\n")
        sys.stdout.flush()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_blocks, b)
            await until_told()
            nursery.cancel_scope.cancel()


async def _blocks(b: Bench) -> None:
    while True:
        await trio.sleep(BLOCK_SECONDS)
        b.moment.observe(HEIGHT)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    trio.run(serve, Path(sys.argv[1]))
