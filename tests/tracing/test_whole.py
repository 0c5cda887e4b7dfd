"""Processes as an operator runs them: two relayer workers, a miner, a chain, and a collector."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.command import COMMAND, ENVIRONMENT
from tests.e2e.node import running_node, wait_until
from tests.tracing.collector import PATH, Collector, read_spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

TOKEN = "collector-token-5d2"
STEPS = 60
LIFE = {
    *("relay", "admit", "verify", "meter", "forward", "attempt", "sign", "publish"),
    *("ingest", "claim", "proof", "settle"),
}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector in threads of its own: this test waits for processes."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        """Takes spans."""

        def do_POST(self) -> None:
            """One request."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_ours = self.path == PATH and self.headers["Authorization"] == f"Bearer {TOKEN}"
            collector.spans += read_spans(body) if is_ours else []
            self.send_response(200 if is_ours else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def test_one_trace_from_admission_to_settlement(tmp_path: Path) -> None:
    """Two processes tell of one relay, and agree on its trace without a word between them."""
    with collecting() as collector:
        sections = {
            "miner": {"require_profit": False},
            "tracing": {
                "enabled": True,
                "ratio": 1,
                "endpoint": collector.endpoint,
                "headers": {"Authorization": f"Bearer {TOKEN}"},
                "interval_seconds": 0.05,
            },
        }
        with running_node(tmp_path, sections=sections, workers=2, shutdown_delay_seconds=0) as node:
            arguments = ["relay", "jsonrpc", "--devnet", str(tmp_path / "chain"), "--count=4"]
            subprocess.run(
                [*COMMAND, *arguments, "--load-test"],
                check=True,
                capture_output=True,
                timeout=120,
                env=ENVIRONMENT,
            )
            for _ in range(STEPS):
                height = node.step(1)
                driven = re.compile(rf"^ha_miner_driven_height.* {height}(\.0)?$", re.MULTILINE)
                wait_until(lambda driven=driven: driven.search(node.metrics()))
                if collector.named("settle"):
                    break
            wait_until(lambda: collector.named("settle") and collector.named("proof"))
            log = node.log.read_text(encoding="utf-8")
        whole = [spans for spans in collector.traces().values() if names_of(spans) >= LIFE]
        assert whole
        for spans in whole:
            [root] = [one for one in spans if one.name == "relay"]
            assert spans[0] is root
            assert root.about["pocket.mined"] is True
            known = {one.id for one in spans}
            assert all(one.parent in known for one in spans if one is not root)
            by_name = {one.name: one for one in spans}
            assert by_name["settle"].about["pocket.settled_upokt"] > 0
            processes = {one.resource["service.instance.id"] for one in spans}
            assert len(processes) == 2
        assert TOKEN not in log


def names_of(spans: Any) -> set[str]:
    """What they are called."""
    return {one.name for one in spans}
