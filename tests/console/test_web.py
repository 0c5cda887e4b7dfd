"""Who may look, and what is answered, over real sockets."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

import pytest

from relayminer.config.console import ConsoleSettings, check_console
from relayminer.net.ports import free_port
from tests.e2e.node import running_node, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.console.conftest import Watched

pytestmark = pytest.mark.e2e

TOKEN = "open-sesame"


def ask(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET."""
    host, _, port = url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console that asks for a token."""
    port = free_port()
    console = {"enabled": True, "listen": f"127.0.0.1:{port}", "token": TOKEN}
    with running_node(tmp_path_factory.mktemp("guarded"), sections={"console": console}):
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: ask(url, "/")[0] == 401)
        yield url


def test_nothing_is_told_without_the_token(guarded: str) -> None:
    """Neither pages nor data; with it once, the browser is remembered by a cookie."""
    for path in ("/", "/pages/console.js", "/api/overview", "/events", "/api/session/a/b"):
        status, _, body = ask(guarded, path)
        assert (status, TOKEN.encode() in body) == (401, False)
    assert ask(guarded, "/?token=wrong")[0] == 401
    status, headers, _ = ask(guarded, f"/?token={TOKEN}")
    assert (status, headers["location"]) == (302, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ask(guarded, "/", Cookie=cookie.partition(";")[0])[0] == 200
    assert ask(guarded, "/api/overview", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_another_sites_name_for_this_machine_is_not_answered(watched: Watched) -> None:
    """A page elsewhere cannot read ours by pointing its own name at 127.0.0.1."""
    assert ask(watched.url, "/api/overview", Host="evil.example")[0] == 403
    assert ask(watched.url, "/api/overview", Host="localhost")[0] == 200


def test_the_overview_is_data_for_programs_too(watched: Watched) -> None:
    """Heights, suppliers and money, without a key or a password in it."""
    status, headers, body = ask(watched.url, "/api/overview")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    found = json.loads(body)
    assert found["node"]["height"] > 0
    assert {one["status"] for one in found["suppliers"]} == {"active"}
    assert all(one["owner"] for one in found["suppliers"])
    assert found["leader"]["owner"]
    assert found["earnings"]["total"]["name"] == "total"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/pages/../service.py", 404),
        ("/pages/%2e%2e%2fservice.py", 404),
        ("/pages/index.htm", 404),
        ("/api/session/pokt1x/abcd", 404),
        ("/api/session/pokt1x/a", 404),
        ("/elsewhere", 404),
    ],
)
def test_what_is_not_there_is_not_there(watched: Watched, path: str, status: int) -> None:
    """No file of the machine, no traceback."""
    answer = ask(watched.url, path)
    assert answer[0] == status
    assert b"Traceback" not in answer[2]


def test_beyond_this_machine_a_token_is_needed() -> None:
    """The configuration is refused otherwise, with what to write."""
    open_to_all = ConsoleSettings(enabled=True, listen="0.0.0.0:8095")
    (complaint,) = check_console(open_to_all)
    assert "console.token" in complaint.fix
    assert not list(check_console(ConsoleSettings(enabled=True, listen="[::1]:8095")))
    assert not list(check_console(ConsoleSettings(enabled=True, listen="0.0.0.0:1", token="x")))
