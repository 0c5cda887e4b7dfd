"""Signing relays in advance, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from attrs import frozen

from benchmarks.sample import signed_request
from relayminer.protocol.codec import encode
from relayminer.protocol.pb.session_pb2 import SessionHeader
from relayminer.protocol.signature import SigningKey

CHUNK = 500
JSON_RPC = b"3"


@frozen
class Target:
    """Where relays go and who signs them; plain values, as they cross processes.

    Attributes:
        header: serialized session header.
        supplier: operator address.
        ring: public keys, 33 bytes each.
        secret: the signer's private key.
        authority: host and port for the Host header.
    """

    header: bytes
    supplier: str
    ring: tuple[bytes, ...]
    secret: bytes
    authority: bytes


def sign_corpus(targets: list[Target], count: int) -> list[bytes]:
    """`count` whole HTTP requests, spread over the targets, no two equal."""
    # Spawned: forking a process that has loaded grpcio is not safe.
    context = multiprocessing.get_context("spawn")
    workers = len(os.sched_getaffinity(0))
    jobs = [(targets, first, min(CHUNK, count - first)) for first in range(0, count, CHUNK)]
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        return [request for chunk in pool.map(_sign_chunk, jobs) for request in chunk]


def _sign_chunk(job: tuple[list[Target], int, int]) -> list[bytes]:
    targets, first, count = job
    prepared = [
        (target, SessionHeader.FromString(target.header), SigningKey(target.secret))
        for target in targets
    ]
    requests = []
    for number in range(first, first + count):
        target, header, key = prepared[number % len(prepared)]
        body = encode(signed_request(header, target.supplier, target.ring, key, number))
        requests.append(_http_request(target.authority, body))
    return requests


def _http_request(authority: bytes, body: bytes) -> bytes:
    return (
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n"
        b"Rpc-Type: %b\r\nContent-Length: %d\r\n\r\n" % (authority, JSON_RPC, len(body))
    ) + body
