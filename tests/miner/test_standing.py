"""How things stand: the lag of each log, and the money that is not on chain yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.miner import standing
from relayminer.protocol.pb.proof_pb2 import MsgCreateClaim, MsgSubmitProof
from tests.miner.harness import session_ids, until

if TYPE_CHECKING:
    from tests.miner.harness import Rig

A, B = session_ids(2)
SECONDS = 0.02
OLD_MS = 1_700_000_000_000
"""Milliseconds since 1970: long ago."""
REWARD_UPOKT = 7
"""Of one relay on this chain."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often: nobody wants to wait."""
    monkeypatch.setattr(standing, "LOOK_SECONDS", SECONDS)


@pytest.mark.parametrize("window", ["claim", "proof"])
async def test_money_is_at_risk_from_its_window_on(mine: Rig, window: str) -> None:
    """Nothing before the window opens, all of it while no message is there, nothing when lost."""
    windows = mine.chain.windows(10)
    kind, opens, closes = (
        (MsgCreateClaim, windows.claim_open_height, windows.claim_close_height)
        if window == "claim"
        else (MsgSubmitProof, windows.proof_open_height, windows.proof_close_height)
    )

    def risk() -> float:
        found = mine.metrics.values("relayminer_upokt_at_risk")
        return found.get((mine.supplier, window), -1)

    mine.chain.refuse = lambda one: "proof: session not found" if isinstance(one, kind) else ""
    await mine.log(A, 3)
    await mine.log(B, 2)
    async with mine.mining():
        await mine.counted(A, 3)
        await mine.counted(B, 2)
        await mine.step_to(opens - 1)
        await until(lambda: risk() == 0)
        await mine.step()
        await until(lambda: risk() == 5 * REWARD_UPOKT)
        await mine.step_to(closes + 1)
        await until(lambda: risk() == 0)


async def test_a_log_shows_what_waits_in_it(mine: Rig) -> None:
    """Entries that nobody has counted, and since when; of a supplier that has left nothing."""

    def shown(name: str) -> float:
        return mine.metrics.values(name).get((mine.supplier,), -1)

    async with mine.mining():
        await until(lambda: shown("relayminer_log_relays") == 0)
        assert shown("relayminer_log_oldest_seconds") == 0
        # The group has read past it: nobody takes it up.
        key, group = mine.names.stream_key(mine.supplier), mine.names.consumer_group
        await mine.redis.command("XGROUP", "SETID", key, group, f"{OLD_MS + 1}-0")
        await mine.redis.command("XADD", key, f"{OLD_MS}-0", "data", b"x")
        await until(lambda: shown("relayminer_log_relays") == 1)
        assert shown("relayminer_log_oldest_seconds") > 1_000_000
        assert shown("ha_transport_redis_pending_messages") == 0
    assert shown("relayminer_log_relays") == -1
