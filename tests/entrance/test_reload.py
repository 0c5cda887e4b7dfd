"""A certificate changes under traffic: taken over whole, or not at all."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from relayminer.config.entrance import TlsSettings
from relayminer.config.settings import KeySettings, Settings
from relayminer.keys.loading import SupplierKeys
from relayminer.plugin import load_key_providers
from relayminer.reload import ConfigSource, LiveKeys, Reloader
from tests.entrance.kit import SecureBench, secure_bench
from tests.lifecycle.test_reload import POLL_SECONDS, write_keys
from tests.relayer.client import Client, connect
from tests.relayer.kit import request_body, signed_request
from tests.spool.outage import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.net.tls_wire import TlsWire


@attrs.define
class Watched:
    """A relayer behind TLS whose files are watched."""

    secure: SecureBench
    settings: Settings
    source: ConfigSource

    def reloads(self, result: str) -> float:
        """How often the files were read again with this outcome."""
        return self.secure.relayer.value("relayminer_config_reloads_total", result=result)

    @property
    def in_force(self) -> float:
        """Whether the files hold what is served."""
        return self.secure.relayer.value("relayminer_config_in_force")

    @property
    def expires_at(self) -> float:
        """Of the certificate in force."""
        return self.secure.relayer.value("ha_relayer_tls_certificate_expires")

    async def ask(self, result: str) -> None:
        """SIGHUP, and the outcome."""
        before = self.reloads(result)
        self.source.ask()
        await until(lambda: self.reloads(result) == before + 1)


@asynccontextmanager
async def watched(
    redis_url: str, folder: Path, poll_seconds: float = 0.0
) -> AsyncIterator[Watched]:
    """It, with a reloader as a process has it."""
    write_keys(folder, 1)
    async with secure_bench(redis_url, folder) as secure:
        relayer = secure.relayer
        settings = Settings(
            keys=KeySettings(keys_file=folder / "keys.yaml"),
            relayer=relayer.relayer._settings,
            reload_poll_seconds=poll_seconds,
        )
        node = Watched(secure, settings, ConfigSource(folder / "keys.yaml", lambda: node.settings))
        keys = LiveKeys(SupplierKeys(relayer.chain.supplier_keys[:1]))
        reloader = Reloader(
            node.source,
            settings,
            keys=keys,
            providers=load_key_providers().values(),
            relayer=relayer.relayer,
            miner=None,
            metrics=relayer.metrics,
        )
        await relayer.nursery.start(reloader.run)
        yield node


def shown(client: Client) -> bytes | None:
    """The certificate that the relayer showed."""
    wire: TlsWire = client.wire  # type: ignore[assignment]  # a secure bench's
    return wire._tls.getpeercert(binary_form=True)


async def test_a_new_certificate_is_shown_to_new_connections(
    redis_url: str, tmp_path: Path
) -> None:
    """Noticed by itself; a connection that is there goes on as it is."""
    async with watched(redis_url, tmp_path, POLL_SECONDS) as node:
        relay = request_body(signed_request(node.secure.relayer.chain))
        old = await node.secure.connect()
        assert (await old.send(relay)).status == 200
        node.secure.authority.issue()
        await until(lambda: node.reloads("applied") >= 1)
        new = await node.secure.connect()
        assert shown(new) != shown(old)
        for client in (old, new):
            assert (await client.send(relay)).status == 200
            client.wire.close()


async def test_what_cannot_be_used_changes_nothing(redis_url: str, tmp_path: Path) -> None:
    """Half of a pair, rubbish, a missing file: refused whole, and told; then it is mended."""
    async with watched(redis_url, tmp_path) as node:
        first = await node.secure.connect()
        other = tmp_path / "other"
        other.mkdir()
        stranger = type(node.secure.authority)(other).issue()
        tls = node.settings.relayer.tls
        assert tls.key is not None
        assert tls.certificate is not None
        kept = tmp_path / "kept.key"
        shutil.copy(tls.key, kept)
        expires_at = node.expires_at
        assert expires_at > 0
        for damage in (stranger.key.read_bytes(), b"rubbish", None):
            if damage is None:
                tls.key.unlink()
            else:
                tls.key.write_bytes(damage)
            await node.ask("refused")
            assert node.in_force == 0
            assert node.expires_at == expires_at
            client = await node.secure.connect()
            assert shown(client) == shown(first)
            client.wire.close()
        shutil.copy(kept, tls.key)
        await node.ask("applied")
        assert node.in_force == 1
        assert (await first.get(b"/health")).status == 200
        first.wire.close()


async def test_tls_can_be_put_on_and_taken_off(redis_url: str, tmp_path: Path) -> None:
    """As any change of `relayer.tls`: for new connections, while others go on."""
    async with watched(redis_url, tmp_path) as node:
        secure = await node.secure.connect()
        with_tls = node.settings
        node.settings = attrs.evolve(
            with_tls, relayer=attrs.evolve(with_tls.relayer, tls=TlsSettings())
        )
        await node.ask("applied")
        plain = await connect(node.secure.relayer.address)
        assert (await plain.get(b"/health")).status == 200
        node.settings = with_tls
        await node.ask("applied")
        again = await node.secure.connect()
        for client in (secure, plain, again):
            assert (await client.get(b"/health")).status == 200
            client.wire.close()
