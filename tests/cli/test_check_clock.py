"""`relayminer check` compares this machine's clock with those of the others."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from relayminer.cli.checks.clock import Reading, judge, of_moment, of_whole_seconds
from relayminer.cli.checks.nodes import check_rpc_nodes
from relayminer.config.chain import ChainSettings
from relayminer.config.settings import Settings
from tests.cli.scripted import http, saying

if TYPE_CHECKING:
    from relayminer.cli.checks.findings import Finding

A, B = "node A", "node B"


@pytest.mark.parametrize(
    ("readings", "result", "says"),
    [
        ([], "warn", "nobody"),
        ([Reading("a block", -30.0)], "ok", "not behind"),
        ([Reading("a block", 40.0)], "fail", "40 s behind a block"),
        ([of_whole_seconds(A, 100.2, 100, 100.4)], "ok", "agrees"),
        # Cut to the second, and three seconds on the way: nothing is certain.
        ([of_whole_seconds(A, 100.2, 101, 103.2)], "ok", "agrees"),
        ([of_whole_seconds(A, 100.2, 110, 100.4)], "warn", "10 s behind node A"),
        ([of_whole_seconds(A, 100.2, 10, 100.4)], "fail", "89 s ahead of node A"),
        ([of_moment("store", 5.0, 5.001, 5.002), Reading("a block", -6.0)], "ok", "with store"),
    ],
)
def test_a_reading_counts_as_far_as_it_is_certain(
    readings: list[Reading], result: str, says: str
) -> None:
    """Seconds on the way, seconds cut off and the age of a block accuse nobody."""
    finding = judge(readings)
    assert finding.result == result
    assert says in finding.found
    assert bool(finding.remedy) == (result != "ok")


def test_who_stands_alone_is_wrong() -> None:
    """Two that agree that we are late are right; one of two is to be looked after itself."""
    both = judge([of_moment(A, 0.0, 9.0, 0.1), of_moment(B, 0.0, 9.1, 0.1)])
    assert both.result == "warn"
    assert both.remedy.startswith("let NTP set it")
    assert A not in both.remedy
    one = judge([of_moment(A, 0.0, 99.0, 0.1), of_moment(B, 0.0, 0.1, 0.1)])
    assert one.result == "warn"
    assert A in one.remedy
    assert B not in one.remedy


async def clock_by_node(*headers: str, block_age_seconds: float = 1.0) -> Finding:
    """What a node with these headers and a block of this age says of our clock."""
    block = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - block_age_seconds))
    sync = (
        f'"latest_block_height": "7", "latest_block_time": "{block}", "catching_up": false, '
        f'"latest_block_hash": "{"00" * 32}"'
    )
    status = f'{{"node_info": {{"network": "pocket"}}, "sync_info": {{{sync}}}}}'
    async with saying(http(200, f'{{"result": {status}}}', *headers)) as port:
        chain = ChainSettings(
            chain_id="pocket", rpc_url=f"http://127.0.0.1:{port}", block_time_seconds=60.0
        )
        readings: list[Reading] = []
        await check_rpc_nodes(Settings(chain=chain), readings)
    return judge(readings)


async def test_a_nodes_date_header_is_compared() -> None:
    """Over a real connection: a node that agrees, and one that is an hour ahead of us."""
    assert (await clock_by_node(f"Date: {formatdate(usegmt=True)}")).result == "ok"
    late = await clock_by_node(f"Date: {formatdate(time.time() + 3600, usegmt=True)}")
    assert late.result == "fail"
    assert "s behind the node 127.0.0.1" in late.found
    assert "timedatectl" in late.remedy


async def test_what_a_cache_kept_is_not_held_against_it() -> None:
    """A date of five minutes ago that a cache has had for five minutes is now."""
    date = formatdate(time.time() - 300, usegmt=True)
    assert (await clock_by_node(f"Date: {date}", "Age: 300")).result == "ok"


async def test_without_dates_there_are_blocks() -> None:
    """No date, or none that can be read: a block of the future still says that we are late."""
    assert "not behind" in (await clock_by_node()).found
    late = await clock_by_node("Date: yesterday", block_age_seconds=-600.0)
    assert late.result == "fail"
    assert "behind the newest block" in late.found
