"""Who died on this machine is known at once, and its leases are free at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from relayminer.state.identity import free_leases, living_identity
from relayminer.state.leases import Lease
from relayminer.state.names import KeyNames

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.state.gateway import Redis

SUPPLIER = "pokt1supplier"
LIVE_ELSEWHERE = """
import sys, time
from pathlib import Path
from relayminer.state.identity import living_identity
with living_identity(Path(sys.argv[1]), "miner") as identity:
    print(identity.owner, flush=True)
    sys.stdin.read()
"""


def test_the_living_are_not_buried(tmp_path: Path) -> None:
    """A process of the same home that lives is not taken for dead."""
    with (
        living_identity(tmp_path, "miner") as first,
        living_identity(tmp_path, "miner") as second,
    ):
        assert first.owner != second.owner
        assert second.dead == ()


def test_an_orderly_end_leaves_nothing(tmp_path: Path) -> None:
    """Who ends in order has given its leases back itself."""
    with living_identity(tmp_path, "miner"):
        pass
    with living_identity(tmp_path, "miner") as identity:
        assert identity.dead == ()


def test_who_was_killed_is_found_dead_once(tmp_path: Path) -> None:
    """After `kill -9` the next start knows the owner id, the start after that does not."""
    with subprocess.Popen(
        [sys.executable, "-c", LIVE_ELSEWHERE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        if process.stdout is None:
            raise RuntimeError("no output")
        owner = process.stdout.readline().strip()
        with living_identity(tmp_path, "miner") as identity:
            assert identity.dead == ()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with living_identity(tmp_path, "miner") as identity:
        assert identity.dead == (owner,)
    with living_identity(tmp_path, "miner") as identity:
        assert identity.dead == ()


async def test_only_leases_of_the_dead_are_freed(redis: Redis) -> None:
    """A dead owner's lease can be had at once; a living one's stays."""
    names = KeyNames()
    key = names.miner_claim_key(SUPPLIER)
    dead = Lease(redis, key, names, owner="dead", ttl_seconds=60)
    heir = Lease(redis, key, names, owner="heir", ttl_seconds=60)
    assert await dead.acquire()
    assert not await heir.acquire()
    assert await free_leases(redis, names, ["somebody"], [SUPPLIER]) == 0
    assert await free_leases(redis, names, ["dead"], [SUPPLIER]) == 1
    assert await heir.acquire()
    assert not await dead.renew()
    holder = await dead.holder()
    assert holder is not None
    assert holder.owner == "heir"
    assert holder.remaining_seconds is not None
