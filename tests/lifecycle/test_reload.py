"""Keys and backends change under traffic: all or nothing, and no connection notices."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest
import yaml

from relayminer.config.load import load as load_settings
from relayminer.keys.loading import SupplierKeys, load_keys
from relayminer.net.tls import server_context
from relayminer.plugin import load_key_providers
from relayminer.protocol import curve
from relayminer.reload import ConfigSource, LiveKeys, Reloader, differences, fingerprint
from relayminer.testing.certificates import Authority
from tests.backends.test_http2_backends import tls_front
from tests.relayer.kit import SERVICE, Backend, Bench, SmallChain, bench, request_body
from tests.relayer.kit import signed_request as signed
from tests.spool.outage import client_of, load, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.config.settings import RelayerSettings

POLL_SECONDS = 0.05


@attrs.frozen
class Node:
    """A relayer whose configuration is a file."""

    relayer: Bench
    reloader: Reloader
    source: ConfigSource
    keys: LiveKeys
    folder: Path

    def reloads(self, result: str) -> float:
        """How often the configuration was read again with this outcome."""
        return self.relayer.value("relayminer_config_reloads_total", result=result)

    async def applied(self, times: int = 1) -> None:
        """Wait until it was taken over so often."""
        await until(lambda: self.reloads("applied") == times)


def secret_hex(number: int) -> str:
    """Of the supplier of that number on the small chain, as `SigningKey.from_seed` derives it."""
    digest = hashlib.sha256(b"supplier %d" % number).digest()
    return f"{int.from_bytes(digest) % (curve.N - 1) + 1:064x}"


def write_keys(folder: Path, count: int) -> None:
    """A key file with the first so many suppliers of the small chain."""
    draft = folder / "draft"
    draft.write_text(yaml.safe_dump({"keys": [secret_hex(number) for number in range(count)]}))
    draft.chmod(0o600)
    draft.replace(folder / "keys.yaml")


def write_config(folder: Path, services: dict[str, str], **more: object) -> None:
    """A configuration file with these backends."""
    document = {
        "reload_poll_seconds": POLL_SECONDS,
        "keys": {"keys_file": "keys.yaml"},
        "relayer": {
            "listen": "127.0.0.1:0",
            "services": {
                name: {"backends": {"jsonrpc": {"url": url}}} for name, url in services.items()
            },
        },
    }
    (folder / "node.yaml").write_text(yaml.safe_dump(document | more))


@asynccontextmanager
async def node(folder: Path, redis_url: str, suppliers: int = 2) -> AsyncIterator[Node]:
    """A relayer with `suppliers` in the chain's sessions and the key of the first."""
    chain = SmallChain(suppliers=suppliers)
    write_keys(folder, 1)
    path = folder / "node.yaml"

    def configure(backend_url: str) -> RelayerSettings:
        write_config(folder, {SERVICE: backend_url})
        return load_settings(path).relayer

    keys = LiveKeys(SupplierKeys(chain.supplier_keys[:1]))
    async with bench(redis_url, chain=chain, keys=keys, configure=configure) as relayer:  # type: ignore[arg-type]  # any mapping will do
        source = ConfigSource(path, lambda: load_settings(path))
        reloader = Reloader(
            source,
            load_settings(path),
            keys=keys,
            providers=load_key_providers().values(),
            relayer=relayer.relayer,
            miner=None,
            metrics=relayer.metrics,
        )
        await relayer.nursery.start(reloader.run)
        yield Node(relayer, reloader, source, keys, folder)


async def test_a_new_key_is_signed_with_as_soon_as_the_file_has_it(
    tmp_path: Path, redis_url: str
) -> None:
    """The second supplier is refused, then its key is added, then it is served; and taken away."""
    async with node(tmp_path, redis_url) as n, client_of(n.relayer) as client:
        chain = n.relayer.chain
        second = chain.supplier_keys[1].address
        refused = await client.send(request_body(signed(chain, supplier=second)))
        assert refused.status != 200
        write_keys(tmp_path, 2)
        await n.applied()
        answer = await client.send(request_body(signed(chain, supplier=second)))
        assert answer.status == 200
        write_keys(tmp_path, 1)
        await n.applied(2)
        refused = await client.send(request_body(signed(chain, supplier=second)))
        assert refused.status != 200
        assert (await client.send(request_body(signed(chain)))).status == 200


async def test_backends_are_replaced_under_load(tmp_path: Path, redis_url: str) -> None:
    """Traffic moves to the new backend without one failed answer or dropped connection."""
    async with node(tmp_path, redis_url) as n, load(n.relayer, clients=8) as sent:
        other = Backend()
        await n.relayer.nursery.start(other.run)
        await sent.answers(50)
        write_config(tmp_path, {SERVICE: other.url, "more": other.url})
        await n.applied()
        before = len(n.relayer.backend.requests)
        await sent.answers(50)
        assert len(other.requests) >= 40
        # Those that were under way when it changed.
        assert len(n.relayer.backend.requests) - before <= 8
        assert not sent.refused
        assert set(n.relayer.relayer.backends.routes) == {SERVICE, "more"}


async def test_another_certificate_authority_of_a_backend_is_believed(
    tmp_path: Path, redis_url: str
) -> None:
    """Noticed in the file that holds it; one that cannot be read changes nothing."""
    (tmp_path / "other").mkdir()
    first, second = Authority(tmp_path), Authority(tmp_path / "other")
    trusted = tmp_path / "ca.pem"

    def trust(content: bytes) -> None:
        draft = tmp_path / "ca.draft"
        draft.write_bytes(content)
        draft.replace(trusted)

    identity = first.issue()
    context = server_context(identity.certificate, identity.key)
    async with node(tmp_path, redis_url) as n, client_of(n.relayer) as client:
        backend = await n.relayer.nursery.start(tls_front, context, n.relayer.backend.port)
        trust(first.file.read_bytes())
        tls = {"url": f"https://127.0.0.1:{backend}", "tls": {"ca_file": "ca.pem"}}
        document = yaml.safe_load((tmp_path / "node.yaml").read_text())
        document["relayer"]["services"] = {SERVICE: {"backends": {"jsonrpc": tls}}}
        (tmp_path / "node.yaml").write_text(yaml.safe_dump(document))
        await n.applied()
        body = request_body(signed(n.relayer.chain))
        assert (await client.send(body)).status == 200
        endpoint = n.relayer.relayer.backends.routes[SERVICE].by_type["jsonrpc"].pool
        # From now on the backend is somebody else, until its authority is believed.
        identity = second.issue()
        context.load_cert_chain(identity.certificate, identity.key)
        trust(second.file.read_bytes())
        await n.applied(2)
        assert n.relayer.relayer.backends.routes[SERVICE].by_type["jsonrpc"].pool is not endpoint
        assert (await client.send(body)).status == 200
        trust(b"no certificate")
        await until(lambda: n.reloads("refused") == 1)
        assert (await client.send(body)).status == 200
        trust(first.file.read_bytes())
        await n.applied(3)
        assert (await client.send(body)).status != 200


async def test_a_broken_file_changes_nothing(tmp_path: Path, redis_url: str) -> None:
    """Of a file with one good and one bad half nothing is taken over, and it is told."""
    async with node(tmp_path, redis_url) as n, client_of(n.relayer) as client:
        chain = n.relayer.chain
        write_keys(tmp_path, 2)
        write_config(tmp_path, {SERVICE: "gopher://nowhere"})
        await until(lambda: n.reloads("refused") >= 1)
        assert n.relayer.value("relayminer_config_in_force") == 0
        assert len(n.keys) == 1
        assert (await client.send(request_body(signed(chain)))).status == 200
        write_config(tmp_path, {SERVICE: n.relayer.backend.url})
        await until(lambda: n.reloads("applied") >= 1)
        assert len(n.keys) == 2
        assert n.relayer.value("relayminer_config_in_force") == 1


async def test_no_key_left_is_refused(tmp_path: Path, redis_url: str) -> None:
    """An emptied key file is a mistake, not a wish, like one without keys: the old keys stay."""
    async with node(tmp_path, redis_url) as n:
        write_keys(tmp_path, 0)
        await until(lambda: n.reloads("refused") == 1)
        (tmp_path / "keys.yaml").write_text("keys: [nothing]")
        await until(lambda: n.reloads("refused") == 2)
        assert n.relayer.value("ha_keys_load_errors_total", provider="keys_file") >= 1
        assert len(n.keys) == 1


async def test_a_swapped_symbolic_link_is_a_change(tmp_path: Path, redis_url: str) -> None:
    """Mounted secrets are swapped by a link: the file behind it counts."""
    async with node(tmp_path, redis_url) as n:
        first, second = tmp_path / "first", tmp_path / "second"
        for folder, count in ((first, 1), (second, 2)):
            folder.mkdir()
            write_keys(folder, count)
        (tmp_path / "current").symlink_to(first)
        (tmp_path / "keys.yaml").unlink()
        (tmp_path / "keys.yaml").symlink_to(tmp_path / "current" / "keys.yaml")
        await n.applied()
        assert len(n.keys) == 1
        (tmp_path / "next").symlink_to(second)
        (tmp_path / "next").replace(tmp_path / "current")
        await n.applied(2)
        assert len(n.keys) == 2


async def test_asking_reads_it_again_although_nothing_changed(
    tmp_path: Path, redis_url: str
) -> None:
    """What SIGHUP does: once per wish, and state of unchanged services is kept."""
    async with node(tmp_path, redis_url) as n:
        routes = n.relayer.relayer.backends.routes[SERVICE]
        n.source.ask()
        await n.applied()
        assert n.relayer.relayer.backends.routes[SERVICE] is routes


async def test_what_needs_a_new_start_is_named(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed port is not taken over; the log says so, by the setting's name."""
    async with node(tmp_path, redis_url) as n:
        write_config(tmp_path, {SERVICE: n.relayer.backend.url}, control={"enabled": False})
        await n.applied()
    captured = capsys.readouterr()
    assert "reload_needs_restart" in captured.out + captured.err
    assert "control.enabled" in captured.out + captured.err


def test_differences_are_named_by_their_path(tmp_path: Path) -> None:
    """Nested settings, one by one; a mapping as a whole."""
    write_config(tmp_path, {"a": "http://a"})
    before = load_settings(tmp_path / "node.yaml")
    write_config(tmp_path, {"b": "http://b"}, miner={"batch_entries": 7})
    after = load_settings(tmp_path / "node.yaml")
    assert differences(before, after) == ["relayer.services", "miner.batch_entries"]
    assert differences(before, before) == []


def test_every_key_source_is_watched(tmp_path: Path) -> None:
    """A file that comes into the key directory changes the fingerprint."""
    (tmp_path / "keys").mkdir()
    write_config(tmp_path, {"a": "http://a"}, keys={"keys_dir": "keys"})
    path = tmp_path / "node.yaml"
    settings = load_settings(path)
    before = fingerprint(path, settings)
    (tmp_path / "keys" / "one.yaml").write_text("x")
    assert fingerprint(path, settings) != before
    with pytest.raises(Exception, match="one"):
        load_keys(settings.keys, load_key_providers().values())
