"""The ledger told: accounts, earnings, exports, and the story of one session."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.cli.story_text import story_lines
from relayminer.config.settings import RedisSettings
from relayminer.miner.records import Step
from relayminer.protocol.pb import service_pb2
from relayminer.state.gateway import Redis
from relayminer.state.ledger import Ledger
from relayminer.state.names import KeyNames
from relayminer.state.snapshots import Snapshot, snapshot_fields
from relayminer.story.accounts import LOST, OPEN, SETTLED
from relayminer.story.books import Books
from relayminer.story.earnings import GROUPINGS, report
from relayminer.story.entries import STEPS
from relayminer.story.errors import UnknownSessionError
from relayminer.story.explain import Teller, choices
from relayminer.story.export import COLUMNS, csv_lines, json_lines
from relayminer.story.forecast import Prices, open_sessions
from relayminer.testing.small_chain import shared_params
from relayminer.testing.store import fresh_store
from tests.cli.command import Ended, relayminer
from tests.story.ledgers import APPLICATION, MOMENT, OTHER, SUPPLIER, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.protocol.pb import shared_pb2

NAMES = KeyNames(RedisSettings().namespace)
DAY = 86_400


@pytest.fixture
async def store_url() -> AsyncIterator[str]:
    """The URL of an empty store."""
    async with fresh_store() as url:
        yield url


@pytest.fixture
async def redis(store_url: str) -> AsyncIterator[Redis]:
    """A gateway to an empty store."""
    async with trio.open_nursery() as nursery:
        one = Redis(store_url, RedisSettings())
        await nursery.start(one.run)
        await one.wait_connected()
        yield one
        nursery.cancel_scope.cancel()


class Chain:
    """One price: 42 uPOKT for a compute unit."""

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """The same at every height."""
        del height
        await trio.lowlevel.checkpoint()
        return shared_params()

    async def difficulty_at(
        self, service_id: str, height: int
    ) -> service_pb2.RelayMiningDifficulty:
        """Every relay counts."""
        del height
        await trio.lowlevel.checkpoint()
        return service_pb2.RelayMiningDifficulty(service_id=service_id, target_hash=b"\xff" * 32)


def test_every_step_of_the_miner_has_words() -> None:
    """What the miner writes down the story can tell."""
    assert {step.value for step in Step} <= set(STEPS)


async def test_a_session_that_went_well_adds_up(redis: Redis) -> None:
    """Earned, fees, what overservicing took, and what is left."""
    await Writer(redis, NAMES).settled_session("5e55101", 20)
    (account,) = await Books(redis, NAMES).accounts()
    assert account.outcome == SETTLED
    assert (account.relays_served, account.relays, account.metered_upokt) == (12, 12, 1300)
    assert (account.claim_tx, account.proof_tx) == ("C1", "P1")
    assert (account.claim_fees_upokt, account.proof_fees_upokt) == (3, 5)
    assert account.submission_fee_upokt == 1000
    assert account.losses == {"overserviced": 300, "deflation": 100}
    assert account.net_upokt == 4000 - 1008


async def test_a_loss_is_counted_once_whoever_tells_it(redis: Redis) -> None:
    """The chain's expiry names no session: it is put to ours; our word for it stays."""
    writer = Writer(redis, NAMES)
    await writer.write("mined", "5e55102", 30, relays=3, compute_units=30)
    await writer.write("claim_submitted", "5e55102", 30, fee_upokt=2, tx_hash="C2")
    await writer.write("expired", "", 30, height=40, reason="PROOF_MISSING", lost_upokt=900)
    await writer.write("slashed", "", 30, height=40, penalty_upokt=77)
    await writer.write(
        "lost", "5e55102", 30, state="proof_window_closed", reason="no proof", lost_upokt=880
    )
    (account,) = await Books(redis, NAMES).accounts()
    assert account.session_id == "5e55102"
    assert account.outcome == LOST
    assert account.losses == {"proof_missing": 900, "slashed": 77}
    assert account.net_upokt == -2 - 77


async def test_relays_that_the_store_lost_are_a_loss_of_a_settled_session(redis: Redis) -> None:
    """What could not be claimed any more stands beside what was earned with the rest."""
    writer = Writer(redis, NAMES)
    await writer.write("set_back", "5e55101", 20, relays=3, reward_upokt=31)
    await writer.write("relays_lost", "5e55101", 20, relays=2, reward_upokt=21)
    await writer.settled_session("5e55101", 20)
    (account,) = await Books(redis, NAMES).accounts()
    assert account.outcome == SETTLED
    assert account.losses["store_lost"] == 21


async def test_earnings_by_everything_add_up_to_the_same(redis: Redis) -> None:
    """However sessions are grouped, the total is the sum."""
    await Writer(redis, NAMES).settled_session("5e55101", 20)
    other = Writer(redis, NAMES, OTHER)
    await other.settled_session("5e55103", 40)
    await other.write("mined", "5e55104", 50, moment=MOMENT + DAY, relays=1, compute_units=10)
    await other.write("skipped", "5e55104", 50, moment=MOMENT + DAY, reason="unprofitable")
    accounts = await Books(redis, NAMES).accounts()
    for by in GROUPINGS:
        found = report(accounts, by)
        assert found.total.earned_upokt == 8000
        assert found.total.net_upokt == 2 * (4000 - 1008)
        for name in ("earned_upokt", "fees_upokt", "net_upokt", "relays"):
            whole = getattr(found.total, name)
            assert sum(getattr(group, name) for group in found.groups) == whole
    names = [group.name for group in report(accounts, "supplier").groups]
    assert names == sorted([SUPPLIER, OTHER])
    by_day = report(accounts, "day").groups
    assert [group.name for group in by_day] == ["2026-11-21", "2026-11-22"]
    assert by_day[1].as_json()["sessions"]["skipped"] == 1


async def test_exports_say_everything_once(redis: Redis) -> None:
    """CSV with fixed columns and the rest in the last one; JSON lines with all fields."""
    writer = Writer(redis, NAMES)
    await writer.settled_session("5e55101", 20)
    await writer.write("claim_failed", "5e55101", 20, reason="=1+1", unheard_of=5)
    await Ledger(redis, NAMES).append(SUPPLIER, [("broken", b"\xff{")])
    entries = [entry async for entry in Books(redis, NAMES).entries()]
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(entries)))))
    assert len(rows) == len(entries) == 12
    assert set(rows[0]) == {*COLUMNS, "other"}
    settled = next(row for row in rows if row["step"] == "settled")
    assert (settled["earned_upokt"], settled["height"]) == ("4000", "29")
    failed = next(row for row in rows if row["step"] == "claim_failed")
    assert failed["reason"] == "'=1+1"
    assert json.loads(failed["other"]) == {"unheard_of": 5}
    assert rows[-1]["step"] == "unreadable"
    objects = [json.loads(line) for line in json_lines(entries)]
    assert objects[0]["session_id"] == "5e55101"
    assert objects[0]["time_utc"] == "2026-11-21T01:36:40Z"


async def open_session(redis: Redis) -> None:
    """A session record of a session that runs."""
    snapshot = Snapshot(
        session_id="5e55105",
        supplier_operator_address=SUPPLIER,
        service_id="svc",
        application_address=APPLICATION,
        session_start_height=51,
        session_end_height=60,
        relay_count=4,
        total_compute_units=40,
        created_at_ns=MOMENT * 10**9,
    )
    fields = snapshot_fields(snapshot, MOMENT * 10**9)
    key = NAMES.miner_session_key(SUPPLIER, "5e55105")
    await redis.command("HSET", key, *[word for pair in fields.items() for word in pair])
    await redis.command("SADD", NAMES.miner_sessions_index_key(SUPPLIER), "5e55105")
    await redis.command("HSET", NAMES.settled_heights_key, SUPPLIER, 1)


async def test_open_sessions_are_priced_by_the_chain(redis: Redis) -> None:
    """Forecast in the groups and in the total; without a chain there is none."""
    await open_session(redis)
    found = await open_sessions(redis, NAMES, [SUPPLIER], Prices(Chain()))
    assert [(one.session_id, one.upokt) for one in found] == [("5e55105", 40 * 42)]
    total = report([], "service", found)
    assert total.total.expected_upokt == 1680
    assert total.groups[0].name == "svc"
    (unknown,) = await open_sessions(redis, NAMES, [SUPPLIER], Prices(None))
    assert unknown.upokt is None


async def test_a_session_is_found_and_told(redis: Redis) -> None:
    """By the beginning of its id, or by supplier and height; also one that only runs."""
    await Writer(redis, NAMES).settled_session("5e55101", 20)
    await open_session(redis)
    teller = Teller(redis, NAMES, Prices(Chain()))
    (account,) = await teller.find("5e55101")
    story = await teller.tell(account)
    page = "\n".join(story_lines(story))
    for part in ("5e55101", "settled", "claim        22 to 26", "earned       4,000", "net"):
        assert part in page
    assert "overserviced" in page
    assert story.as_json()["windows"]["claim_open_height"] == 22
    (running,) = await teller.find(SUPPLIER, 55)
    assert running.session_id == "5e55105"
    told = await teller.tell(running)
    assert told.worth_upokt == 1680
    assert (told.state, told.account.outcome) == ("active", OPEN)
    assert "worth now    1,680" in "\n".join(story_lines(told))
    both = await teller.find("5e55")
    assert len(both) == 2
    assert "5e55105" in choices(both)
    for wanted, height in (("5e", None), ("feed", None), (SUPPLIER, 99)):
        with pytest.raises(UnknownSessionError):
            await teller.find(wanted, height)


async def command(*words: str) -> Ended:
    """One command, to its end."""
    return await trio.to_thread.run_sync(relayminer, *words)


async def test_the_commands_tell_it(redis: Redis, store_url: str, tmp_path: Path) -> None:
    """`ledger export`, `explain` and `earnings` read a store that a miner works on."""
    await Writer(redis, NAMES).settled_session("5e55101", 20)
    config = tmp_path / "node.yaml"
    chain = "{rpc_url: 'http://127.0.0.1:1', grpc_url: '127.0.0.1:1', query_timeout_seconds: 1}"
    config.write_text(f"redis: {{url: '{store_url}'}}\nchain: {chain}\n", encoding="utf-8")
    words = ("--config", str(config))
    told = await command("explain", "5e55", *words)
    assert told.code == 0, told.err
    assert "proof found valid by the chain" in told.out
    sums = await command("earnings", "--by", "day", "--json", *words)
    assert json.loads(sums.out)["total"]["net_upokt"] == 4000 - 1008
    table = await command("earnings", *words)
    assert "2,992" in table.out
    target = tmp_path / "ledger.csv"
    assert (await command("ledger", "export", "--file", str(target), *words)).code == 0
    assert target.read_text(encoding="utf-8").count("\n") == 11
    # Of an embedded store, which has things to say of itself while it starts.
    empty = await command("ledger", "export", "--format", "json", "--home", str(tmp_path / "home"))
    assert json.loads(empty.out) == []
    nothing = await command("explain", "feed", *words)
    assert nothing.code == 1
    assert "nothing is known of a session feed" in nothing.err
