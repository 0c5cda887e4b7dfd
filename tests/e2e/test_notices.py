"""A node that is told to, tells: by its own configuration, over a real connection."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.node import running_node, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e
SECRET = "hook-51c0"
PLENTY_UPOKT = 10**15


def test_a_node_tells_of_its_poor_suppliers_and_not_whom_it_told(tmp_path: Path) -> None:
    """Every supplier whose balance is below what is wanted; the address is nowhere in the log."""
    notices: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            notices.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        sections = {
            "miner": {"balance": {"interval_seconds": 1, "min_balance_upokt": PLENTY_UPOKT}},
            "notify": {"webhook_url": f"http://127.0.0.1:{server.server_port}/{SECRET}"},
        }
        with running_node(tmp_path, sections=sections) as node:
            wait_until(lambda: len(notices) >= len(node.info.suppliers))
            assert all("critical firing] fees pokt1" in one["text"] for one in notices)
            wait_until(lambda: "relayminer_notices_total" in node.metrics())
        log = node.log.read_text(encoding="utf-8")
        assert SECRET not in log
        assert f":{server.server_port}" not in log
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
