"""Key files that change under a running miner: added, removed, broken, mended."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio
import yaml

from relayminer.config.load import load as load_settings
from relayminer.keys.loading import load_keys
from relayminer.plugin import load_key_providers
from relayminer.reload import ConfigSource, LiveKeys, Reloader
from relayminer.state.suppliers import SupplierRegistry
from relayminer.telemetry.metrics import Metrics
from tests.miner.harness import session_ids, suppliers, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    import pytest

    from relayminer.miner.service import MinerService
    from relayminer.protocol.signature import SigningKey
    from tests.miner.harness import Rig

A, B = session_ids(2)


@attrs.frozen
class Mining:
    """A miner whose keys are in a file."""

    service: MinerService
    metrics: Metrics
    file: Path

    def write(self, text: str) -> None:
        """Replace the key file, as mounted secrets are replaced."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o600)
        draft.replace(self.file)

    def write_keys(self, keys: Sequence[SigningKey]) -> None:
        """These keys and no others."""
        self.write(yaml.safe_dump({"keys": [key.export_secret().hex() for key in keys]}))

    async def told(self, result: str) -> None:
        """Wait until a change was taken over or refused."""
        line = f'relayminer_config_reloads_total{{result="{result}"}}'
        await until(lambda: line in self.metrics.page().decode())

    async def owns(self, keys: Sequence[SigningKey]) -> None:
        """Wait until the miner works for these suppliers and no others."""
        wanted = {key.address for key in keys}
        await until(lambda: self.service._ownership.suppliers == wanted)


@asynccontextmanager
async def mining(mine: Rig, folder: Path) -> AsyncIterator[Mining]:
    """A miner with the rig's keys, and what reads the file again."""
    path, file = folder / "node.yaml", folder / "keys.yaml"
    document = {"reload_poll_seconds": 0.05, "keys": {"keys_file": "keys.yaml"}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    async with mine.mining() as service:
        metrics = Metrics()
        one = Mining(service, metrics, file)
        one.write_keys(mine.keys)
        settings = load_settings(path)
        providers = list(load_key_providers().values())
        reloader = Reloader(
            ConfigSource(path, lambda: load_settings(path)),
            settings,
            keys=LiveKeys(load_keys(settings.keys, providers)),
            providers=providers,
            relayer=None,
            miner=service,
            metrics=metrics,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(reloader.run)
            yield one
            nursery.cancel_scope.cancel()


async def test_keys_come_and_go_with_the_file(mine: Rig, tmp_path: Path) -> None:
    """An added key is mined for at once; a removed one without a session in flight is let go."""
    mine.keys = suppliers(2)[:1]
    both = suppliers(2)
    async with mining(mine, tmp_path) as one:
        await one.owns(both[:1])
        one.write_keys(both)
        await one.owns(both)
        await mine.log(B, 3, supplier_operator_address=both[1].address)
        await mine.counted(B, 3, both[1].address)
        one.write_keys(both[1:])
        await one.owns(both[1:])
        lease = mine.names.miner_claim_key(both[0].address)
        assert await mine.redis.command("EXISTS", lease) == 0


async def test_a_removed_key_that_comes_back_stays(mine: Rig, tmp_path: Path) -> None:
    """With a session in flight its supplier is worked for all the time."""
    await mine.log(A, 2)
    keys = suppliers(2)
    mine.keys = keys
    async with mining(mine, tmp_path) as one:
        await mine.counted(A, 2)
        one.write_keys(keys[1:])
        await one.told("applied")
        register = SupplierRegistry(mine.redis, mine.names)

        async def status() -> str:
            entries = {entry.operator_address: entry.status for entry in await register.all()}
            return entries[mine.supplier]

        with trio.fail_after(10):
            while await status() != "draining":  # noqa: ASYNC110 - an entry has no event
                await trio.sleep(0.01)
        await mine.step_to(9)
        one.write_keys(keys)
        with trio.fail_after(10):
            while await status() != "active":  # noqa: ASYNC110 - an entry has no event
                await trio.sleep(0.01)
        await mine.log(A, 2, first=2)
        await mine.counted(A, 4)
        await mine.step_to(22)
        assert mine.claimed_counts() == mine.sent
        await one.owns(keys)


async def test_a_broken_file_stops_nobody(
    mine: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last good keys stay, the log says what is wrong but no secret, and mending works."""
    keys = suppliers(2)
    mine.keys = keys[:1]
    async with mining(mine, tmp_path) as one:
        await one.owns(keys[:1])
        secret = keys[1].export_secret().hex()
        one.write(yaml.safe_dump({"keys": [keys[0].export_secret().hex(), secret[:-2]]}))
        await one.told("refused")
        await mine.log(A, 2)
        await mine.counted(A, 2)
        one.write("keys: [")
        one.write_keys([])
        await mine.log(A, 1, first=2)
        await mine.counted(A, 3)
        assert one.service._ownership.suppliers == {keys[0].address}
        one.write_keys(keys)
        await one.owns(keys)
    said = "".join(capsys.readouterr())
    assert "keys.yaml: keys[1]" in said
    assert "what was in force stays in force" in said
    assert secret[:20] not in said
