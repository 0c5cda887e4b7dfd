"""The pages in a real browser: they load, they live, and they talk to nobody else.

Run by `test_browser.py` in a process of its own: the browser's driver wants an asyncio loop, and
where trio-asyncio was imported it would be given one of Trio's.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
import pytest
from playwright.sync_api import ViewportSize, expect

from tests.cli.command import COMMAND, ENVIRONMENT
from tests.console.conftest import IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.console.conftest import Watched

pytestmark = pytest.mark.e2e

PAGES = ("overview", "sessions", "suppliers", "money", "backends")
WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)
PHONE: ViewportSize = {"width": 390, "height": 800}
DESK: ViewportSize = {"width": 1280, "height": 860}


@attrs.define
class Heard:
    """What the browser said and whom it asked."""

    errors: list[str] = attrs.field(factory=list)
    hosts: set[str] = attrs.field(factory=set)


@contextmanager
def page_of(
    browser: Browser, url: str, *, dark: bool = False, phone: bool = False, quiet: bool = True
) -> Iterator[Page]:
    """A page that must not ask another host nor, if quiet, complain; checked at the end."""
    heard = Heard()
    context = browser.new_context(
        viewport=PHONE if phone else DESK, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("console", lambda one: heard.errors.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("request", lambda request: heard.hosts.add(urlsplit(request.url).netloc))
    try:
        page.goto(url)
        page.wait_for_selector("#card-served")
        yield page
        assert heard.errors == [] or not quiet
        assert heard.hosts == {urlsplit(url).netloc}
    finally:
        context.close()


def send_relays(watched: Watched, relays: int) -> None:
    """Sign and send some, as a gateway does."""
    for _ in range(relays):
        subprocess.run(
            [*COMMAND, "relay", "jsonrpc", "--devnet", str(watched.chain)],
            check=True,
            capture_output=True,
            env=ENVIRONMENT,
            timeout=60,
        )


def number(page: Page, selector: str) -> int:
    """A number on the page."""
    return int(re.sub(r"\D", "", page.inner_text(selector)) or "0")


def test_live_values_change_while_relays_flow(
    browser: Browser, watched: Watched, request: pytest.FixtureRequest
) -> None:
    """Relays and blocks show up without a reload; the session becomes settled money."""
    with page_of(browser, watched.url) as page:
        expect(page.locator("#live")).to_have_text("live")
        served, height = number(page, "#card-served"), number(page, "#height")
        send_relays(watched, 2)
        expect(page.locator("#card-served")).to_have_text(f"{served + 2:,}")
        expect(page.locator("tbody tr[tabindex]").first).to_be_visible()
        reached = watched.node.step(5)
        watched.node.catch_up(reached)
        expect(page.locator("#height")).to_have_text(str(reached))
        assert reached > height
        expect(page.locator("svg.timeline")).to_contain_text(f"now {reached}")
        if request.config.getoption("--screenshots"):
            page.screenshot(path=IMAGES / "console-overview.png", full_page=True)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_every_page_loads_by_keyboard_alone(
    browser: Browser, watched: Watched, *, dark: bool, phone: bool
) -> None:
    """Keys 1 to 5, on a desk and on a phone, dark and light, nothing wider than the screen."""
    with page_of(browser, watched.url, dark=dark, phone=phone) as page:
        theme = page.evaluate("document.documentElement.dataset.theme")
        assert theme == ("dark" if dark else "light")
        for at, name in enumerate(PAGES, 1):
            page.keyboard.press(str(at))
            expect(page.locator(f"nav a[data-page={name}]")).to_have_attribute(
                "aria-current", "page"
            )
            expect(page.locator("main section").first).to_be_visible()
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= (PHONE if phone else DESK)["width"]
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.dataset.theme") != theme


def test_a_session_tells_its_story(
    browser: Browser, watched: Watched, request: pytest.FixtureRequest
) -> None:
    """From the list with j and Enter, the filter in between, back with Escape."""
    send_relays(watched, 1)
    with page_of(browser, watched.url) as page:
        page.keyboard.press("2")
        first = page.locator("tbody tr[tabindex]").first
        expect(first).to_be_visible()
        service = first.locator("td").nth(1).inner_text()
        page.keyboard.press("/")
        page.keyboard.type("no such thing")
        expect(page.locator("tbody")).to_contain_text("nothing yet")
        page.keyboard.press("Escape")
        expect(first).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("#/session/"))
        story = page.locator("main")
        expect(story).to_contain_text("What happened")
        expect(story).to_contain_text(service)
        expect(story).to_contain_text("claim")
        if request.config.getoption("--screenshots"):
            page.screenshot(path=IMAGES / "console-session.png", full_page=True)
        page.keyboard.press("Escape")
        expect(page.locator("nav a[data-page=sessions]")).to_have_attribute("aria-current", "page")


def test_a_page_says_when_it_is_no_longer_live(browser: Browser, watched: Watched) -> None:
    """Without the stream of news, what is shown is not passed off as new."""
    with page_of(browser, watched.url, quiet=False) as page:
        page.route("**/events", lambda route: route.abort())
        page.reload()
        expect(page.locator("#live")).to_have_text("not connected, trying again")
