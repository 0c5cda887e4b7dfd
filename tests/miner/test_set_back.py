"""A store that is set back: a copy of its files is put where newer ones were."""

from __future__ import annotations

import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.cache.moment import ChainMoment
from relayminer.console.overview import Overview, Sources
from relayminer.miner.witness import Witness
from relayminer.state.relay_log import RelayLog
from relayminer.state.server_process import find_program
from relayminer.state.suppliers import SupplierState, SupplierStates
from relayminer.story.explain import Teller
from relayminer.story.forecast import Prices
from relayminer.telemetry.health import Health
from relayminer.watchdog import Pulse
from tests.miner.chain import COMPUTE_UNITS
from tests.miner.harness import WAIT_SECONDS, Rig, rig, session_ids, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B = session_ids(2)


class Server:
    """A server with an append-only file that is killed, copied and set back."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._copy = directory / "copy"
        self._socket = directory / "server.sock"
        self._data.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Start it on what is in its directory."""
        options = ("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._data))
        words = [find_program(), *options, "--appendonly", "yes", "--save", ""]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it without warning."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._socket.unlink(missing_ok=True)

    def copy(self) -> None:
        """Take a copy of what is on its disk at this moment."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._data, self._copy)

    def set_back(self) -> None:
        """Kill it and start it again on the copy."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)
        self.start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that runs."""
    one = Server(tmp_path)
    one.start()
    try:
        yield one
    finally:
        one.kill()


async def log_is_empty(mine: Rig) -> None:
    """Wait until every entry was acknowledged."""
    log = RelayLog(mine.redis, mine.names)
    with trio.fail_after(WAIT_SECONDS):
        while True:
            if not await log.length(mine.supplier):
                return
            await trio.sleep(0.01)


async def settle(mine: Rig) -> dict[str, Any]:
    """Go on to the end and say what the ledger has of losses."""
    await mine.step_to(22)
    assert mine.chain.slashed == []
    lines = [line for line in await mine.ledger() if line["step"] == "relays_lost"]
    return lines[0] if lines else {"relays": 0}


async def wait_set_back(mine: Rig, server: Server) -> None:
    """Set the store back and wait until the gateway has it again."""
    reconnections = mine.redis.reconnections
    server.set_back()
    await until(lambda: mine.redis.reconnections > reconnections and mine.redis.is_connected)


async def test_a_loss_is_found_before_the_claim(server: Server) -> None:
    """Relays that the store lost after it confirmed them are told; the others are claimed."""
    async with rig(server.url) as mine, mine.mining():
        await mine.log(A, 10)
        await mine.counted(A, 10)
        await log_is_empty(mine)
        server.copy()
        await mine.log(A, 7, first=10)
        await mine.counted(A, 17)
        await log_is_empty(mine)
        await wait_set_back(mine, server)
        await mine.log(A, 9, first=17)
        lost = await settle(mine)
        # Nine more than it had then would hide the loss from who only looks at numbers.
        assert mine.claimed_counts() == {A: 19}
        assert (lost["relays"], lost["compute_units"]) == (7, 7 * COMPUTE_UNITS)
        assert lost["reward_upokt"] > 0
        # Whoever looks at the record afterwards sees what was claimed, not what ever was counted.
        record = await mine.record(A)
        assert record is not None
        assert (record.relay_count, record.total_compute_units) == (19, 19 * COMPUTE_UNITS)


async def test_nobody_is_shown_more_than_there_is(server: Server) -> None:
    """The loss is in an open session: its record is ahead of its trie, the pages are not."""
    async with rig(server.url) as mine:
        async with mine.mining():
            await mine.log(A, 10)
            await mine.counted(A, 10)
            await log_is_empty(mine)
        key = mine.names.miner_session_key(mine.supplier, A)
        await mine.redis.command("HINCRBY", key, "relay_count", 7)
        await mine.redis.command("HINCRBY", key, "total_compute_units", 7 * COMPUTE_UNITS)
        record = await mine.record(A)
        assert record is not None
        assert record.relay_count == 17
        mine.chain.advance(10)
        overview = Overview(
            Sources(
                redis=mine.redis,
                names=mine.names,
                chain=mine.chain,
                moment=ChainMoment(1.0),
                health=Health(),
                backends=dict,
                relays_served=lambda: 0,
                about={},
            )
        )
        states = SupplierStates(mine.redis, mine.names)
        await states.put(
            SupplierState(status="active", staked=True, operator_address=mine.supplier)
        )
        (shown,) = (await overview.look())["sessions"]
        assert (shown["relays"], shown["worth_upokt"]) == (10, 10 * COMPUTE_UNITS)
        teller = Teller(mine.redis, mine.names, Prices(mine.chain))
        (account,) = await teller.find(A)
        assert (await teller.tell(account)).worth_upokt == 10 * COMPUTE_UNITS


async def test_what_comes_back_from_the_log_is_not_lost(server: Server) -> None:
    """Entries whose acknowledgement was lost too are counted again, and no loss is told."""
    async with rig(server.url) as mine, mine.mining():
        await mine.log(A, 10)
        await mine.counted(A, 10)
        await log_is_empty(mine)
    async with rig(server.url, names=mine.names, chain=mine.chain, sent=mine.sent) as mine:
        # Logged while no miner runs: they are in the copy, their count and their end are not.
        await mine.log(A, 7, first=10)
        server.copy()
        async with mine.mining():
            await mine.counted(A, 17)
            await log_is_empty(mine)
            await wait_set_back(mine, server)
            await mine.log(A, 2, first=17)
            await log_is_empty(mine)
            lost = await settle(mine)
        assert mine.claimed_counts() == {A: 19}
        assert lost["relays"] == 0


async def test_a_session_that_is_gone_altogether_is_told(server: Server) -> None:
    """A session that began after the copy has no record and no trie; what it had is told."""
    async with rig(server.url) as mine, mine.mining():
        await mine.log(B, 1)
        await mine.counted(B, 1)
        server.copy()
        await mine.log(A, 7)
        await mine.counted(A, 7)
        await log_is_empty(mine)
        await wait_set_back(mine, server)
        lost = await settle(mine)
        assert mine.claimed_counts() == {B: 1}
        assert (lost["session_id"], lost["relays"]) == (A, 7)


async def test_a_miner_that_died_with_the_store_remembers(server: Server, tmp_path: Path) -> None:
    """What the process before us saw confirmed is in its file, and the loss is told from it."""
    home = tmp_path / "witness"
    async with rig(server.url, witness_home=home) as mine, mine.mining():
        await mine.log(A, 10)
        await mine.counted(A, 10)
        await log_is_empty(mine)
        server.copy()
        await mine.log(A, 7, first=10)
        await mine.log(B, 3)
        await mine.counted(A, 17)
        await mine.counted(B, 3)
        await log_is_empty(mine)
    server.set_back()
    async with rig(
        server.url, names=mine.names, chain=mine.chain, sent=mine.sent, witness_home=home
    ) as mine:
        await mine.log(A, 1, first=17)
        async with mine.mining():
            await mine.step_to(22)
        assert mine.claimed_counts() == {A: 11}
        assert mine.chain.slashed == []
        lines = [line for line in await mine.ledger() if line["step"] == "relays_lost"]
        assert {line["session_id"]: line["relays"] for line in lines} == {A: 7, B: 3}


async def test_a_store_set_back_behind_the_claim_gets_no_wrong_proof(server: Server) -> None:
    """A claim whose trie is gone is not proven from what is left."""
    async with rig(server.url) as mine, mine.mining():
        await mine.log(A, 10)
        await mine.counted(A, 10)
        await log_is_empty(mine)
        server.copy()
        await mine.log(A, 7, first=10)
        await mine.counted(A, 17)
        await mine.step_to(13)
        assert len(mine.chain.claims) == 1
        await wait_set_back(mine, server)
        await mine.step_to(22)
        proofs = [
            one
            for sent in mine.chain.sent
            for one in sent.messages
            if type(one).__name__ == "MsgSubmitProof"
        ]
        assert proofs == []


async def word_of(witness: Witness) -> None:
    """Have it write down what it knows."""
    with trio.move_on_after(0):
        await witness.run(Pulse())


async def test_a_witness_is_of_no_use_after_another_owner(tmp_path: Path) -> None:
    """What another owner did in between may have changed what there is; a newer token says so."""
    witness = Witness(tmp_path, owner="first")
    (await witness.take_up("supplier", 3)).counted((5, 0))
    await word_of(witness)
    (file,) = await trio.to_thread.run_sync(lambda: list(tmp_path.glob("*/*.json")))
    for token, through in ((4, (5, 0)), (1, (5, 0)), (9, (0, 0))):
        text = file.read_bytes()
        again = Witness(tmp_path, owner="second")
        assert (await again.take_up("supplier", token)).through == through
        file.write_bytes(text)
    other = Witness(tmp_path, "another store", owner="second")
    assert (await other.take_up("supplier", 4)).through == (0, 0)
    for text in (b"{", b"[]", b'{"by": 2}', b'{"by": "x", "token": 3, "through": []}'):
        file.write_bytes(text)
        spoilt = Witness(tmp_path, owner="third")
        assert (await spoilt.take_up("supplier", 4)).through == (0, 0)


async def test_miners_of_one_home_do_not_overwrite_what_each_other_saw(tmp_path: Path) -> None:
    """Each keeps what it knows of its own suppliers, whoever writes last."""
    first, second = Witness(tmp_path, owner="first"), Witness(tmp_path, owner="second")
    (await first.take_up("one", 3)).counted((5, 0))
    (await second.take_up("two", 8)).counted((7, 0))
    for _ in range(2):
        await word_of(first)
        await word_of(second)
    after = Witness(tmp_path, owner="after")
    assert (await after.take_up("one", 4)).through == (5, 0)
    assert (await after.take_up("two", 9)).through == (7, 0)


async def test_a_testimony_goes_with_the_supplier_from_miner_to_miner(tmp_path: Path) -> None:
    """Whoever takes it up knows what the one before knew; that one's last word comes too late."""
    first, second = Witness(tmp_path, owner="first"), Witness(tmp_path, owner="second")
    before = await first.take_up("supplier", 3)
    before.counted((5, 0))
    await word_of(first)
    later = await second.take_up("supplier", 4)
    assert later.through == (5, 0)
    before.counted((6, 0))
    later.counted((9, 0))
    await word_of(second)
    await word_of(first)
    # And back again: what it knew itself is older by now.
    assert (await first.take_up("supplier", 5)).through == (9, 0)


async def test_a_home_that_cannot_be_used_leaves_the_memory(tmp_path: Path) -> None:
    """No file can be had: what this process saw itself is known to it all the same."""
    (tmp_path / "in the way").write_bytes(b"")
    witness = Witness(tmp_path / "in the way", owner="first")
    (await witness.take_up("supplier", 3)).counted((5, 0))
    await word_of(witness)
    assert (await witness.take_up("supplier", 4)).through == (5, 0)


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """Neither taking a supplier up nor a later word is lost with a disk that has no room."""
    in_the_way = tmp_path / "home"
    in_the_way.write_bytes(b"")
    witness = Witness(in_the_way, owner="first")
    (await witness.take_up("supplier", 3)).counted((5, 0))
    await word_of(witness)
    in_the_way.unlink()
    await word_of(witness)
    after = Witness(in_the_way, owner="second")
    assert (await after.take_up("supplier", 4)).through == (5, 0)
    # And whoever has taken it up meanwhile keeps it.
    late = Witness(in_the_way, owner="late")
    late._known["supplier"] = await witness.take_up("other", 2)
    late._not_taken.add("supplier")
    await word_of(late)
    assert (await Witness(in_the_way, owner="third").take_up("supplier", 5)).through == (5, 0)
