"""Refused relays from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from relayminer.config.settings import RedisSettings
from relayminer.state.embedded import open_store
from relayminer.state.log_reader import LogEntry, LogReader
from relayminer.state.names import KeyNames
from relayminer.state.relay_log import RelayLog
from relayminer.testing.store import running_gateway
from tests.cli.command import relayminer

if TYPE_CHECKING:
    from pathlib import Path

NAMES = KeyNames()


def test_refused_relays_are_listed_and_replayed(tmp_path: Path) -> None:
    """`list` shows each with its reason, `replay` puts the chosen ones back into the log."""

    async def with_a_store() -> None:
        async with (
            open_store(RedisSettings(), tmp_path) as url,
            running_gateway(url) as redis,
        ):
            reader = LogReader(redis, NAMES, "consumer")
            await reader.ensure_group(["pokt1a"])
            poison = [
                (LogEntry(b"1-0", b"one"), "weighs 3 compute units"),
                (LogEntry(b"2-0", b"two"), "not a mined relay message"),
            ]
            await reader.dead_letter("pokt1a", poison)
            at = ("--home", str(tmp_path))
            listed = await trio.to_thread.run_sync(
                lambda: relayminer("deadletters", "list", *at, "--json")
            )
            rows = json.loads(listed.out)["dead_letters"]
            assert [row["reason"] for row in rows] == [reason for _, reason in poison]
            refused = await trio.to_thread.run_sync(
                lambda: relayminer("deadletters", "replay", *at)
            )
            assert refused.code == 2
            assert "--all" in refused.err
            done = await trio.to_thread.run_sync(
                lambda: relayminer("deadletters", "replay", *at, "--all", "--reason", "weighs")
            )
            assert done.out == "1 entries are in the relay log again\n"
            assert await RelayLog(redis, NAMES).length("pokt1a") == 1

    trio.run(with_a_store)
