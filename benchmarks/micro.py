"""The parts of a relay that cost most, one by one."""

from __future__ import annotations

import time
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, at_most
from benchmarks.sample import Parties, response_payload, signed_request
from benchmarks.timing import cpu_us
from relayminer.config.traffic import LaneSettings
from relayminer.protocol.point_tables import PointTables
from relayminer.protocol.relay import request_hash, sign_response, stored_relay
from relayminer.protocol.ring import parse_ring_signature, verify_ring_signature
from relayminer.relayer.forward_traffic import Traffic
from relayminer.relayer.lanes import Lanes
from relayminer.relayer.metrics import RelayerMetrics
from relayminer.relayer.queue_fair import FairQueue
from relayminer.smst import Trie, encode_proof, verify_proof_bytes
from relayminer.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.protocol.pb.service_pb2 import RelayRequest

LEAVES = 10_000
SAMPLES = 256
TABLE_USES = 2500
"""After so many verifications every point of a ring has its table."""


def ring_verify_us(requests: Sequence[RelayRequest]) -> float:
    """Parsing and verifying one two-member ring signature, microseconds."""
    signed = [(request_hash(request), request.meta.signature) for request in requests]

    def verify(number: int) -> None:
        digest, signature = signed[number % len(signed)]
        if not verify_ring_signature(digest, parse_ring_signature(signature)):
            raise AssertionError("a sample signature does not verify")

    return cpu_us(verify)


def ring_verify_hot_us(requests: Sequence[RelayRequest]) -> float:
    """The same with tables of multiples for all its points, as the relayer has them soon."""
    signed = [(request_hash(request), request.meta.signature) for request in requests]
    tables = PointTables()

    def verify(number: int) -> None:
        digest, signature = signed[number % len(signed)]
        if not verify_ring_signature(digest, parse_ring_signature(signature), tables):
            raise AssertionError("a sample signature does not verify")

    for number in range(TABLE_USES):
        verify(number)
    return cpu_us(verify)


def sample_requests(count: int = SAMPLES) -> list[RelayRequest]:
    """Signed requests, all different."""
    parties = Parties()
    return [
        signed_request(
            parties.header, parties.supplier.address, parties.ring, parties.gateway, number
        )
        for number in range(count)
    ]


def relay_figures() -> list[Figure]:
    """Ring, signature, hash."""
    parties = Parties()
    requests = sample_requests()
    payload = response_payload()
    response = sign_response(parties.header, payload, parties.supplier)
    return [
        at_most("ring_verify_us", ring_verify_us(requests), "us", 250),
        Figure("ring_verify_hot_us", ring_verify_hot_us(requests), "us"),
        at_most(
            "sign_us",
            cpu_us(lambda _: sign_response(parties.header, payload, parties.supplier)),
            "us",
            50,
        ),
        Figure(
            "relay_hash_us",
            cpu_us(lambda number: stored_relay(requests[number % SAMPLES], response)),
            "us",
        ),
        at_most("admission_us", admission_us(), "us", 5),
    ]


def admission_us() -> float:
    """What limits and lanes cost a relay that none of them stops, microseconds."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'
    relay: Any = SimpleNamespace(
        http=SimpleNamespace(body=body, url="/"),
        route=SimpleNamespace(rpc_type="jsonrpc"),
        application="pokt1",
        supplier="pokt2",
        plan=None,
    )
    lane = LaneSettings(methods=("trace_*", "debug_*"), log_range_blocks=1_000)
    traffic = Traffic(
        "anvil",
        queue=FairQueue(
            max_in_flight=20, max_waiting=10, max_wait_seconds=0.0, clock=time.perf_counter
        ),
        lanes=Lanes({"dear": lane}, time.perf_counter, lambda: 0),
        cache=None,
        fair_by="application",
        metrics=RelayerMetrics(Metrics()),
    )

    def pass_through(_: int) -> None:
        relay.plan = None
        traffic.check(relay)
        traffic.is_dear(relay)
        traffic.cached(relay)
        entering = traffic.enter(relay)
        try:
            entering.send(None)
        except StopIteration as entered:
            entered.value.leave()

    return cpu_us(pass_through)


def proof_figures() -> list[Figure]:
    """The closest proof of a trie of 10,000 leaves, gob included."""
    trie = Trie(keep_values=True)
    for number in range(LEAVES):
        trie.update(leaf_key(number), leaf_value(number), 100)
    trie.commit()
    root = trie.root

    def prove(number: int) -> bytes:
        return encode_proof(trie.prove_closest(leaf_key(number)).compact())

    proofs = [prove(number) for number in range(64)]
    return [
        at_most("closest_proof_us", cpu_us(prove), "us", 10_000),
        Figure(
            "proof_verify_us",
            cpu_us(lambda number: verify_proof_bytes(proofs[number % 64], root)),
            "us",
        ),
    ]


def leaf_key(number: int) -> bytes:
    """A relay hash."""
    return sha256(b"leaf %d" % number).digest()


def leaf_value(number: int) -> bytes:
    """About 1 KB, as a relay has."""
    return sha256(b"value %d" % number).digest() * 32
