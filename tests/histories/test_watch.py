"""What histories look out for is seen when it happens."""

from __future__ import annotations

import random

from relayminer.protocol.pb import proof_pb2
from tests.histories.chain import HistoryChain
from tests.histories.model import Model
from tests.histories.process import SharedStore

LEASE, GUARDED = b"lease:supplier", b"guarded:session"


def store() -> SharedStore:
    """A store whose keys `guarded:` belong to the holder of their lease."""
    return SharedStore(Model(), "lease:", ("guarded:",))


def take(where: SharedStore, owner: str) -> None:
    """Hold the lease."""
    script = b"return redis.call('SET', KEYS[1], ARGV[1])"
    where.run([[b"EVAL", script, b"1", LEASE, owner.encode()]], owner)


def change(where: SharedStore, owner: str) -> None:
    """Change what the lease guards."""
    script = b"return redis.call('SET', KEYS[2], ARGV[1])"
    where.run([[b"EVAL", script, b"2", LEASE, GUARDED, b"1"]], owner)


async def test_the_last_holder_may_change_things() -> None:
    """Nothing is wrong with a change by whoever got the lease last, in force or not."""
    where = store()
    take(where, "one")
    change(where, "one")
    where.run([[b"DEL", LEASE]], "one")
    change(where, "one")
    assert where.violations == []


async def test_nobody_else_may() -> None:
    """A change by a former holder, under no lease, or past the scripts is told."""
    where = store()
    change(where, "one")
    assert len(where.violations) == 1
    take(where, "one")
    take(where, "two")
    change(where, "one")
    assert len(where.violations) == 2
    where.run([[b"HSET", b"guarded:other", b"a", b"b"]], "two")
    assert len(where.violations) == 3


async def test_a_second_root_is_told() -> None:
    """Two claims of one session with different roots are a split brain, equal ones are not."""
    chain = HistoryChain(rng=random.Random(0))  # noqa: S311 - a test's dice
    claim = proof_pb2.MsgCreateClaim(supplier_operator_address="supplier", root_hash=bytes(48))
    claim.session_header.session_id = "session"
    chain.note([claim, claim], 5)
    assert chain.violations == []
    claim.root_hash = bytes(47) + b"\x01"
    chain.note([claim], 6)
    assert len(chain.violations) == 1
