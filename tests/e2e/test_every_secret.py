"""A node at debug level with every key source, passphrase and password: none is ever shown."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from trio import Path as AsyncPath

from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.info import read_info
from relayminer.net.ports import free_port
from tests.cli.command import relayminer
from tests.e2e.hostile import answer_to, post, signer, still_serves
from tests.e2e.key_sources import (
    COUNT,
    KEYRING_PASSPHRASE,
    VAULT_PASSPHRASE,
    every_source,
    private,
)
from tests.e2e.node import Node, fetch, fetch_json, process, wait_until, write_config
from tests.e2e.test_secrets import spellings
from tests.state.servers import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.devnet.info import DevnetInfo

pytestmark = pytest.mark.e2e

STORE = "hunter2-store"
CHAIN = "hunter2-chain"
BACKEND = "hunter2-backend-url"
BASIC = "hunter2-backend-basic"
HEADER = "hunter2-backend-header"
TOKEN = "hunter2-console-token"
WRONG = "hunter2-wrong-passphrase"
WEBHOOK = "hunter2-webhook"
USER = "operator"
PASSWORDS = (
    STORE,
    CHAIN,
    BACKEND,
    BASIC,
    HEADER,
    TOKEN,
    WRONG,
    WEBHOOK,
    VAULT_PASSPHRASE,
    KEYRING_PASSPHRASE,
)


@attrs.frozen
class Watched:
    """A node, and where its inside can be looked at."""

    node: Node
    config: str
    home: Any
    debug: str
    console: str

    def shown(self, text: str) -> list[str]:
        """Secrets that `text` has, by name."""
        keys = [p.name for p in self.node.info.suppliers if any(s in text for s in written(p))]
        return keys + [word for word in PASSWORDS if any(s in text for s in forms(word))]


def written(party: Any) -> list[str]:
    """A key as it could be written by mistake."""
    return spellings(party.secret)


def forms(word: str) -> list[str]:
    """A password in plain, and as a header of basic authentication has it."""
    return [word, base64.b64encode(f"{USER}:{word}".encode()).decode().rstrip("=")]


def with_password(url: str, word: str) -> str:
    """The URL with a user and a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{USER}:{word}@{rest}"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A devnet, a store with a password, and a node that knows every kind of secret."""
    home = tmp_path_factory.mktemp("secrets")
    port, control, store, debug, console = (free_port() for _ in range(5))
    devnet = ["devnet", f"--home={home / 'chain'}", "--stepped", f"--suppliers={COUNT}"]
    devnet += ["--rpc-port=0", "--grpc-port=0", "--control-port=0"]
    devnet += ["--with-backend", "--backend-port=0", f"--relayer-url=http://127.0.0.1:{port}"]
    log = home / "node.log"
    with (
        (home / "chain.log").open("ab") as chain_log,
        log.open("ab") as node_log,
        launched(home, store, {"requirepass": STORE, "appendonly": "yes"}),
        process(devnet, chain_log),
    ):
        wait_until(lambda: read_info(home / "chain"))
        info = read_info(home / "chain")
        sections = {
            "redis": {"url": f"redis://:{STORE}@127.0.0.1:{store}"},
            "chain": chain_section(info),
            "keys": every_source(home, info.suppliers),
            "notify": {"webhook_url": f"http://127.0.0.1:{free_port()}/{WEBHOOK}"},
            "debug": {"enabled": True, "listen": f"127.0.0.1:{debug}"},
            "console": {
                "enabled": True,
                "listen": f"127.0.0.1:{console}",
                "token": TOKEN,
                "interval_seconds": 0.2,
            },
        }
        services = {key: {"backends": {"jsonrpc": backend(info)}} for key in info.service_ids}
        config = write_config(home, info, port, control, {"services": services}, sections)
        with process(["run", f"--config={config}"], node_log) as child:
            node = Node(info, child.pid, port, control, home, log)
            try:
                wait_until(lambda: fetch(f"{node.url}/ready"), child)
            except AssertionError as error:
                raise AssertionError(log.read_text("utf-8")[-3_000:]) from error
            here = "http://127.0.0.1"
            yield Watched(node, str(config), home, f"{here}:{debug}", f"{here}:{console}")


def chain_section(info: DevnetInfo) -> dict[str, Any]:
    """The devnet's node behind a password that it does not ask for."""
    return {
        "chain_id": info.chain_id,
        "rpc_url": with_password(info.rpc_url, CHAIN),
        "grpc_url": info.grpc_url,
        "block_time_seconds": 1,
    }


def backend(info: DevnetInfo) -> dict[str, Any]:
    """The demo backend, with every way to show who one is."""
    return {
        "url": with_password(info.backend_url, BACKEND),
        "headers": {"X-Api-Key": HEADER},
        "authentication": {"username": USER, "password": BASIC},
        "health_check": {"enabled": True, "endpoint": "/", "headers": {"X-Api-Key": HEADER}},
    }


def console_page(watched: Watched, path: str) -> str:
    """A page of the console, for who has its token."""
    url = f"{watched.console}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - the same
        text: str = answer.read().decode()
        return text


async def test_every_key_serves(watched: Watched) -> None:
    """A key from each source answers relays; the wrong ones are refused and told."""
    node = watched.node
    signing = await signer(node)
    async with HttpClient() as http:
        gateway = Gateway(signing.key, http)
        targets = [(signing.session, supplier) for supplier in signing.session.endpoints]
        records = await gateway.send_many(targets, 12)
    assert len(targets) == COUNT
    assert all(record.ok for record in records)
    for body in (b"\xff", signing.body()[:-9]):
        answer = await answer_to(node, post(body))
        assert not watched.shown(repr(answer.body))
    node.catch_up(node.step(4))


@pytest.mark.parametrize(
    "path",
    [
        "/debug/config",
        "/debug/state",
        "/debug/tasks",
        "/debug/profile?seconds=1&format=html",
        "/debug/heap?seconds=1",
    ],
)
def test_debug_pages_show_none(watched: Watched, path: str) -> None:
    """The inside of the process, without what it must not tell."""
    page = fetch(f"{watched.debug}{path}")
    assert page
    assert not watched.shown(page)
    if path == "/debug/config":
        assert "***" in page
        assert "encrypted_file" in page


def test_the_console_shows_none(watched: Watched) -> None:
    """Its page, its data, and the story of a session."""
    node = watched.node
    pages = [console_page(watched, "/"), console_page(watched, "/api/overview")]
    sessions = json.loads(pages[1])["sessions"]
    assert sessions
    one = sessions[0]
    pages.append(console_page(watched, f"/api/session/{one['supplier']}/{one['id']}"))
    pages += [node.metrics(), fetch(f"{node.url}/ready"), fetch(f"{node.url}/health")]
    for page in pages:
        assert not watched.shown(page)


@pytest.mark.parametrize(
    "words",
    [
        "config show",
        "config show --json",
        "keys list",
        "keys check",
        "check",
        "explain pokt1 --height 3",
        "earnings",
    ],
)
def test_commands_show_none(watched: Watched, words: str) -> None:
    """Whatever they say of the node's configuration, well or badly."""
    ended = relayminer(*words.split(), "--config", watched.config)
    assert ended.out + ended.err
    assert not watched.shown(ended.out + ended.err)


async def test_sources_that_break_show_none(watched: Watched) -> None:
    """A wrong passphrase and spoilt files, told by a reload and by the commands, show no secret."""
    node, home = watched.node, watched.home
    party = node.info.suppliers[0]
    kept = {name: (home / name).read_bytes() for name in ("hex.yaml", "vault-passphrase")}
    private(home / "hex.yaml", f"keys: [{party.secret_hex}\n".encode())
    private(home / "vault-passphrase", f"{WRONG}\n".encode())
    wait_until(lambda: "\nrelayminer_config_in_force 0" in node.metrics())
    ended = relayminer("keys", "list", "--config", watched.config)
    assert ended.code != 0
    assert not watched.shown(ended.out + ended.err)
    for name, content in kept.items():
        private(home / name, content)
    wait_until(lambda: "\nrelayminer_config_in_force 1" in node.metrics())
    await still_serves(node)
    said = await AsyncPath(node.log).read_text("utf-8")
    assert '"event": "started"' in said
    assert "reload_refused" in said
    assert not watched.shown(said)
    assert fetch_json(f"{node.url}/health")
