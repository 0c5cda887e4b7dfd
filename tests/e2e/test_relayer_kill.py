"""A relayer ends in the middle of its work: what it had answered is logged, exactly."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.testing.store import fresh_store, running_gateway
from tests.e2e.relayers import load, logged_hashes, relayer, stage
from tests.spool.outage import own_store, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_kill_9_at_full_load_loses_nothing_that_was_answered(
    tmp_path: Path, soak: bool
) -> None:
    """Again and again on one home: every signed answer has its entry, and has it once."""
    answered: set[bytes] = set()
    async with (
        stage(tmp_path) as set_up,
        fresh_store() as url,
        running_gateway(url) as redis,
    ):
        config = set_up.write_config(url)
        for _ in range(20 if soak else 2):
            async with relayer(set_up, config) as process, load(set_up) as sent:
                await sent.answers(300)
                process.kill()
                await process.wait()
            answered |= set(sent.answered)
            logged = await logged_hashes(redis, set_up.supplier)
            assert answered <= set(logged)
            assert set(logged.values()) == {1}


async def test_sigterm_at_full_load_answers_what_it_logs(tmp_path: Path, soak: bool) -> None:
    """Exit code 0; answered and logged are the same set, to the relay."""
    answered: set[bytes] = set()
    async with (
        stage(tmp_path) as set_up,
        fresh_store() as url,
        running_gateway(url) as redis,
    ):
        config = set_up.write_config(url)
        for _ in range(20 if soak else 2):
            async with relayer(set_up, config) as process, load(set_up) as sent:
                await sent.answers(300)
                process.send_signal(signal.SIGTERM)
                with trio.fail_after(30):
                    assert await process.wait() == 0
            answered |= set(sent.answered)
            logged = await logged_hashes(redis, set_up.supplier)
            assert answered == set(logged)
            assert set(logged.values()) == {1}


async def test_kill_9_while_the_store_is_away_loses_nothing_either(tmp_path: Path) -> None:
    """Answered from the spool, killed, started again when the store is back: all there, once.

    And there before the first relay is served again: a miner may seal their sessions any moment.
    """
    async with stage(tmp_path) as set_up, own_store(tmp_path / "store") as store:
        config = set_up.write_config(store.url, publish_timeout_seconds=0.5)
        async with relayer(set_up, config) as process, load(set_up) as sent:
            await sent.answers(100)
            await store.kill()
            await sent.answers(300)
            assert await set_up.problems() == {}
            process.kill()
            await process.wait()
        assert not sent.refused
        await store.start()
        async with running_gateway(store.url) as redis, relayer(set_up, config):
            assert await set_up.metric("ha_relayer_spool_relays") == 0
            assert await set_up.metric("ha_relayer_spool_replayed_relays_total") > 200
            logged = await logged_hashes(redis, set_up.supplier)
            assert set(sent.answered) <= set(logged)
            assert set(logged.values()) == {1}


async def test_not_ready_comes_before_the_end(tmp_path: Path) -> None:
    """SIGTERM: both readiness pages say no while relays are still served; then an orderly end."""
    async with stage(tmp_path) as set_up, fresh_store() as url:
        config = set_up.write_config(url, shutdown_delay_seconds=30)
        async with relayer(set_up, config) as process, load(set_up, clients=2) as sent:
            await sent.answers(10)
            process.send_signal(signal.SIGTERM)
            statuses = [0, 0]
            with trio.fail_after(20):
                while statuses != [503, 503]:
                    statuses = [
                        (await set_up.get("/ready"))[0],
                        (await set_up.get("/ready", set_up.port))[0],
                    ]
                    assert 0 not in statuses
            assert "drain" in await set_up.problems()
            await sent.answers(10)
            # The second time means now.
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(20):
                assert await process.wait() == 0


async def test_sighup_takes_over_a_new_backend_without_dropping_a_connection(
    tmp_path: Path,
) -> None:
    """A new configuration under load: not one answer fails, and no client has to reconnect."""
    async with stage(tmp_path) as set_up, fresh_store() as url:
        config = set_up.write_config(url)
        text = config.read_text(encoding="utf-8")
        async with relayer(set_up, config) as process, load(set_up, clients=4) as sent:
            await sent.answers(20)
            port = set_up.devnet.info.backend_url.rpartition(":")[2]
            config.write_text(text.replace(f"127.0.0.1:{port}", f"localhost:{port}"))
            process.send_signal(signal.SIGHUP)
            await set_up.wait_metric("relayminer_config_reloads_total", 1)
            await sent.answers(20)
            sent.stopping = True
        assert not sent.refused
        await until(lambda: process.returncode == 0)
