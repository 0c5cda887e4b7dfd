"""What a running node shows of its keys: nothing."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relayminer.config.load import load
from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.gateway.relays import jsonrpc_payload
from tests.cli.command import COMMAND, ENVIRONMENT
from tests.e2e.hostile import answer_to, post, signer, still_serves

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = pytest.mark.e2e

BACKEND_PASSWORD = "hunter2-backend"
BACKEND_TOKEN = "hunter2-in-a-header"


def spellings(secret: bytes) -> list[str]:
    """How a key could be written by mistake."""
    return [
        secret.hex(),
        secret.hex().upper(),
        base64.b64encode(secret).decode().rstrip("="),
        base64.urlsafe_b64encode(secret).decode().rstrip("="),
        str(int.from_bytes(secret, "big")),
        repr(secret)[2:-1],
    ]


def shown(text: str, node: Node) -> list[str]:
    """Secrets of the suppliers that `text` holds."""
    parties = node.info.suppliers
    return [party.name for party in parties if any(s in text for s in spellings(party.secret))]


async def test_no_key_is_in_what_the_node_says(node: Node) -> None:
    """Relays served and refused, blocks made: log, metrics and answers are clean."""
    signing = await signer(node)
    async with HttpClient() as http:
        gateway = Gateway(signing.key, http)
        targets = [(signing.session, supplier) for supplier in signing.session.endpoints]
        records = await gateway.send_many(targets, 12)
    assert all(record.ok for record in records)
    answers = [await answer_to(node, post(body)) for body in (b"\xff", signing.body()[:-9])]
    node.catch_up(node.step(8))
    said = node.log.read_text("utf-8")
    assert '"event": "started"' in said
    for text in (said, node.metrics(), *(repr(answer.body) for answer in answers)):
        assert not shown(text, node)
    assert jsonrpc_payload()[:20].hex() not in said
    await still_serves(node)


def test_the_process_can_neither_dump_core_nor_be_read(node: Node) -> None:
    """No core file, and no process of the same user may read its memory."""
    limits = Path(f"/proc/{node.pid}/limits").read_text(encoding="ascii")
    found = re.search(r"^Max core file size +(\d+) +(\d+)", limits, re.MULTILINE)
    assert found is not None
    assert found.groups() == ("0", "0")
    # A process that is not dumpable has a /proc entry of root's, whoever runs it; for root the
    # kernel says so only to the process itself.
    script = (
        "import ctypes; from relayminer.keys.hardening import protect_process;"
        "protect_process(); print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert done.stdout.strip() == "0"


def test_settings_and_their_errors_hide_passwords(tmp_path: Path) -> None:
    """Neither `repr` nor a message shows what stands in a URL, a header or an authentication."""
    path = tmp_path / "node.yaml"
    path.write_text(
        f"""
redis: {{url: "redis://user:{BACKEND_PASSWORD}@h:1/0"}}
relayer:
  services:
    x:
      backends:
        jsonrpc:
          url: http://user:{BACKEND_PASSWORD}@h:1
          headers: {{Authorization: "{BACKEND_TOKEN}"}}
          authentication: {{username: u, password: {BACKEND_PASSWORD}}}
""",
        encoding="utf-8",
    )
    told = repr(load(path))
    assert BACKEND_PASSWORD not in told
    assert BACKEND_TOKEN not in told
