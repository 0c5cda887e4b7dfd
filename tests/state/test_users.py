"""The user of docs/redis.md may do all that a node does, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.errors import StoreReplyError
from relayminer.state.names import KeyNames
from relayminer.state.suppliers import SupplierStates
from relayminer.state.watch import ServerWatch
from relayminer.telemetry.health import Health
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import running_gateway
from tests.miner.harness import Rig
from tests.state.servers import HOST, debian_server, one_server

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
PROGRAMS = [
    None,
    pytest.param(
        debian_server(),
        marks=pytest.mark.skipif(debian_server() is None, reason="no server of the system"),
    ),
]


def documented_user() -> list[str]:
    """The words of the command that makes it."""
    text = PAGE.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("ACL SETUSER"))
    return line.split()


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_documented_user_is_enough(program: str | None) -> None:
    """A miner works from the first relay to the settled claim, on every server to be had here."""
    async with one_server(program=program) as server:
        await server.ask(*documented_user())
        url = f"redis://relayminer:PASSWORD@{HOST}:{server.port}"
        async with running_gateway(url) as redis:
            async with trio.open_nursery() as nursery:
                watch = ServerWatch(redis, RedisSettings(), health=Health(), metrics=Metrics())
                await nursery.start(watch.run)
                nursery.cancel_scope.cancel()
            rig = Rig(url, redis, names=KeyNames())
            async with rig.mining():
                await rig.log("one", 3)
                await rig.counted("one", 3)
                assert await SupplierStates(redis, rig.names).all()
                await rig.step_to(40)
            assert rig.claimed_counts() == {"one": 3}
            for forbidden in (("FLUSHALL",), ("SET", "other:key", "x"), ("KEYS", "*")):
                with pytest.raises(StoreReplyError) as caught:
                    await redis.command(*forbidden)
                assert caught.value.code == "NOPERM"
