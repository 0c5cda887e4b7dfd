"""Signing relays in advance, in as many processes as there are cores: no clock runs for it."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import resource
import signal
import struct
import tempfile
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import trio
from attrs import field, frozen

from relayminer.gateway.relays import sign_relay
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHUNK: Final = 250
_SIZE: Final = struct.Struct(">I")


@frozen
class Target:
    """Whom relays are signed for, and by whom; plain values, as they cross processes.

    Attributes:
        header: serialized session header.
        supplier: operator address.
        ring: public keys, 33 bytes each.
        secret: the signer's private key.
        payload: of every request.
    """

    header: bytes
    supplier: str
    ring: tuple[bytes, ...]
    secret: bytes = field(repr=False)
    payload: bytes = field(repr=False)


class Corpus:
    """Signed requests in a file that has no name; relay i is for target i modulo their number."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="relays-")  # noqa: SIM115 - closed by close()
        self.count = 0

    def append(self, requests: Sequence[bytes]) -> None:
        """Add requests behind the others."""
        self._file.write(b"".join(_SIZE.pack(len(one)) + one for one in requests))
        self.count += len(requests)

    def __iter__(self) -> Iterator[bytes]:
        """All requests, in their order."""
        if not self.count:
            return
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = 0
            while at < len(data):
                start = at + _SIZE.size
                at = start + _SIZE.unpack_from(data, at)[0]
                yield data[start:at]

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


async def sign_corpus(
    targets: Sequence[Target],
    count: int,
    *,
    done: Callable[[int], None] = lambda _: None,
    workers: int = 0,
) -> Corpus:
    """`count` signed requests, spread over the targets in turn, no two equal.

    Args:
        targets: at least one.
        count: how many.
        done: told how many more were signed.
        workers: processes; 0: as many as this one may use cores.
    """
    corpus = Corpus()
    chunks = [(first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)]
    if count <= CHUNK:
        for first, size in chunks:
            corpus.append(sign_chunk(targets, first, size))
            done(size)
        return corpus

    def work() -> None:
        # Spawned: forking a process that has loaded grpcio is not safe.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers or len(os.sched_getaffinity(0)), len(chunks)),
            mp_context=context,
            initializer=_begin,
            initargs=(tuple(targets),),
        ) as pool:
            try:
                for requests in pool.map(_sign_here, *zip(*chunks, strict=True)):
                    corpus.append(requests)
                    trio.from_thread.run_sync(done, len(requests))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    try:
        await trio.to_thread.run_sync(work)
    except BaseException:
        corpus.close()
        raise
    return corpus


def sign_chunk(targets: Sequence[Target], first: int, count: int) -> list[bytes]:
    """Requests `first` and following."""
    prepared = [
        (one, SessionHeader.FromString(one.header), SigningKey(one.secret)) for one in targets
    ]
    requests = []
    for number in range(first, first + count):
        target, header, key = prepared[number % len(prepared)]
        requests.append(sign_relay(header, target.supplier, target.payload, target.ring, key))
    return requests


_targets: list[Target] = []
"""Of a worker process: sent once, not with each piece of work."""


def _begin(targets: tuple[Target, ...]) -> None:
    # The process holds a key: no core dump shows it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Who interrupts the program interrupts its parent, which ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _targets[:] = targets


def _sign_here(first: int, count: int) -> list[bytes]:
    return sign_chunk(_targets, first, count)
