"""What the demonstration says about relays that were not paid."""

from __future__ import annotations

import pytest

from relayminer.demo.downtime import Downtime, explain_missed
from relayminer.demo.node_truth import NodeTruth
from relayminer.demo.report import problems
from relayminer.demo.rows import Row, Rows
from relayminer.miner.entries import SessionInfo
from relayminer.miner.records import Step, ledger_json, record
from relayminer.state.ledger import Ledger
from relayminer.state.names import KeyNames
from relayminer.testing.store import fresh_store, running_gateway
from tests.miner.chain import shared_params


def row(session_id: str) -> Row:
    """Two relays in the trie, and no claim."""
    return Row(
        supplier="pokt1one",
        supplier_name="supplier1",
        service_id="svc",
        application="pokt1app",
        session_id=session_id,
        session_end_height=10,
        sent=2,
        served=2,
        logged=2,
        in_trie=2,
    )


async def test_a_claim_that_would_not_pay_is_explained() -> None:
    """By the ledger's own figures; of another session only the counts can be told."""
    rows = Rows()
    for session_id in ("few", "lost"):
        rows.add(row(session_id))
    info = SessionInfo("few", "svc", "pokt1app", 1, 10)
    few = record(
        Step.SKIPPED,
        info,
        reason="unprofitable",
        relays=2,
        reward_upokt=4_200,
        cost_upokt=1_020_000,
    )
    async with fresh_store() as url, running_gateway(url) as redis:
        ledger = Ledger(redis, KeyNames())
        await ledger.append("pokt1one", [(few.id, ledger_json(few, 0))])
        await NodeTruth(redis).read(rows)
    said = {one.session_id: one.skipped for one in rows.all()}
    assert said["lost"] == ""
    explained = (
        "supplier1, svc, session ending at 10: no claim was made: 2 relays would earn 4,200 uPOKT, "
        "and claim and proof would cost 1,020,000 uPOKT in fees; send more (--relays-per-row)"
    )
    found = problems(rows.all(), [], faults=False)
    assert explained in found
    assert any("the counts differ" in one for one in found)


async def test_other_reasons_are_passed_on() -> None:
    """As the miner has them."""
    rows = Rows()
    rows.add(row("odd"))
    info = SessionInfo("odd", "svc", "pokt1app", 1, 10)
    line = record(Step.SKIPPED, info, reason="cupr_mismatch", relays=2)
    async with fresh_store() as url, running_gateway(url) as redis:
        await Ledger(redis, KeyNames()).append("pokt1one", [(line.id, ledger_json(line, 0))])
        await NodeTruth(redis).read(rows)
    assert rows.all()[0].skipped == "no claim was made of 2 relays: cupr_mismatch"


@pytest.mark.parametrize(
    ("down", "claimed", "what"),
    [
        (Downtime(9, 40), 0, "claim"),
        (Downtime(13, 15), 0, "claim"),
        (Downtime(14, 40), 0, ""),
        (Downtime(9, 14), 0, ""),
        (Downtime(9, 0), 0, ""),
        (Downtime(15, 40), 2, "proof"),
        (Downtime(9, 18), 2, ""),
    ],
)
def test_a_window_that_passed_while_all_was_down_is_no_defect(
    down: Downtime, claimed: int, what: str
) -> None:
    """Claims are taken in blocks 12 to 16, proofs in 16 to 20: nobody was there for them."""
    missed = row("missed")
    missed.claimed = claimed
    explain_missed([missed], down, shared_params())
    assert missed.skipped.startswith(f"no {what} was possible" if what else "")
    assert bool(missed.skipped) == bool(what)
