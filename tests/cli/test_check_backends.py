"""`relayminer check` asks each backend in its own protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relayminer.cli.checks import backends
from relayminer.cli.checks.backends import check_backends
from relayminer.config.document import Document
from relayminer.config.structure import structured
from relayminer.net.ports import free_port
from tests.cli.scripted import http, saying

if TYPE_CHECKING:
    from relayminer.cli.checks.findings import Finding
    from relayminer.config.settings import Settings

STATUS = '{"result": {"sync_info": {"latest_block_height": "7", "catching_up": %s}}}'
CASES = [
    ("jsonrpc", http(200, '{"jsonrpc": "2.0", "id": 1, "result": "0x1"}'), "ok", "JSON-RPC", ""),
    # A chain of another kind does not know the method, but speaks the protocol.
    ("jsonrpc", http(200, '{"error": {"code": -32601}}'), "ok", "JSON-RPC", ""),
    ("jsonrpc", http(404, "<html>"), "fail", "404, and no JSON-RPC", "path"),
    ("jsonrpc", http(200, "[" * 5_000), "fail", "no JSON-RPC", "URL"),
    ("jsonrpc", http(401, "who are you"), "fail", "401", "authentication"),
    ("jsonrpc", http(503, ""), "fail", "503", "log"),
    ("jsonrpc", b"SSH-2.0-x\r\n", "fail", "", "URL"),
    ("cometbft", http(200, STATUS % "false"), "ok", "height 7", ""),
    ("cometbft", http(200, STATUS % "true"), "warn", "catching up", "synced"),
    ("cometbft", http(200, '{"result": {}}'), "fail", "not that of CometBFT", "URL"),
    ("cometbft", http(200, '{"error": {}}'), "fail", "not that of CometBFT", "URL"),
    ("rest", http(404, ""), "ok", "status 404", ""),
    ("rest", http(403, ""), "warn", "403", "authentication"),
    ("rest", http(500, ""), "fail", "500", "log"),
    ("websocket", http(200, "hello"), "fail", "no WebSocket handshake", "URL"),
    ("grpc", http(200, "hello"), "fail", "", "URL"),
]


def settings_of(backend: dict[str, Any], rpc_type: str) -> Settings:
    """One service with one backend."""
    services = {"svc": {"backends": {rpc_type: backend}}}
    settings, misfits = structured(Document("here", {"relayer": {"services": services}}))
    assert not misfits
    return settings


async def found(backend: dict[str, Any], rpc_type: str = "jsonrpc") -> Finding:
    """What is said of one backend of one service."""
    (finding,) = [one async for one in check_backends(settings_of(backend, rpc_type))]
    assert finding.subject == f"backend svc {rpc_type}"
    assert bool(finding.remedy) == (finding.result != "ok")
    return finding


@pytest.mark.parametrize(("rpc_type", "answer", "result", "says", "remedy"), CASES)
async def test_an_endpoint_is_judged_by_its_protocol(
    rpc_type: str, answer: bytes, result: str, says: str, remedy: str
) -> None:
    """An open port is not enough: it must answer what relays of this type are about."""
    async with saying(answer) as port:
        scheme = {"websocket": "ws://", "grpc": ""}.get(rpc_type, "http://")
        finding = await found({"url": f"{scheme}127.0.0.1:{port}"}, rpc_type)
    assert finding.result == result, finding
    assert says in finding.found
    assert remedy in finding.remedy


async def test_nobody_there_is_a_failure() -> None:
    """Of several endpoints each has a line, so it is known which one is down."""
    nobody = free_port()
    async with saying(http(200, '{"result": 1}')) as port:
        urls = [{"url": f"http://127.0.0.1:{one}"} for one in (port, nobody)]
        settings = settings_of({"urls": urls}, "jsonrpc")
        well, away = [one async for one in check_backends(settings)]
    assert well.result == "ok"
    assert away.result == "fail"
    assert f"http://127.0.0.1:{nobody}" in away.found


async def test_who_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that accepts and says nothing holds up the check for its time, no longer."""
    monkeypatch.setattr(backends, "BACKEND_SECONDS", 0.1)
    for rpc_type, scheme in (("jsonrpc", "http://"), ("websocket", "ws://"), ("grpc", "")):
        async with saying(b"") as port:
            finding = await found({"url": f"{scheme}127.0.0.1:{port}"}, rpc_type)
        assert finding.result == "fail", rpc_type


async def test_the_backends_own_headers_and_path_are_used() -> None:
    """What would be refused without its token is well with it; the password is not shown."""

    def answer(asked: bytes) -> bytes:
        good = asked.startswith(b"POST /v1") and b"Basic dTpodW50ZXIy" in asked
        return http(200, '{"result": "0x1"}') if good else http(401, "")

    async with saying(answer) as port:
        finding = await found({"url": f"http://u:hunter2@127.0.0.1:{port}/v1"})
        assert (await found({"url": f"http://127.0.0.1:{port}/v1"})).result == "fail"
    assert finding.result == "ok", finding
    assert "hunter2" not in finding.found


async def test_a_health_check_is_asked_as_configured() -> None:
    """Where the settings say what a healthy answer is, that is what counts."""
    health = {"enabled": True, "endpoint": "/ready", "expected_body": "yes"}

    def answer(asked: bytes) -> bytes:
        return http(200, "yes" if asked.startswith(b"GET /ready ") else "no")

    async with saying(answer) as port:
        url = f"http://127.0.0.1:{port}"
        well = await found({"url": url, "health_check": health})
        health["endpoint"] = "/other"
        ill = await found({"url": url, "health_check": health})
    assert well.result == "ok"
    assert "its health check" in well.found
    assert ill.result == "fail"
    assert "expected text" in ill.found


async def test_authorities_that_cannot_be_read_are_told() -> None:
    """One backend's wrong setting is its own failure, not the end of the check."""
    finding = await found({"url": "https://127.0.0.1:1", "tls": {"ca_file": "nowhere.pem"}})
    assert finding.result == "fail"
    assert "ca_file" in finding.found
