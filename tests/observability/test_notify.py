"""Notices: told once, told when it is over, never too often, and never where they go."""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import structlog
import trio

from relayminer.config.checks import check_settings
from relayminer.config.document import Document
from relayminer.config.notify import FIELDS, NotifySettings, check_notify, filled
from relayminer.config.settings import Settings
from relayminer.config.shown import shown_settings
from relayminer.insight.fleet import Fleet
from relayminer.insight.notify import SUBJECTS_MAX, Notifier
from relayminer.state.gateway import Redis
from relayminer.state.names import KeyNames
from relayminer.state.notices import NoticeWords
from relayminer.telemetry.health import Health
from relayminer.telemetry.logs import set_up_logs
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from relayminer.telemetry.metrics import Gauge

SECRET = "hook-7f3a91"
TEMPLATE = json.dumps({name: f"{{{{{name}}}}}" for name in FIELDS})
LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 20


@attrs.define
class Hook:
    """A server that keeps what it is sent.

    Attributes:
        status: what it answers; None: nothing at all.
        asked: heads of requests.
        notices: bodies, as JSON.
    """

    status: int | None = 200
    port: int = 0
    asked: list[bytes] = attrs.field(factory=list)
    notices: list[dict[str, Any]] = attrs.field(factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                if not (more := await stream.receive_some()):
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(data) < length:
                data += await stream.receive_some()
            self.asked.append(head)
            if self.status == 200:
                self.notices.append(json.loads(data[:length]))
            data = data[length:]
            if self.status is None:
                await trio.sleep_forever()
            await stream.send_all(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status)

    def told(self, status: str) -> list[tuple[str, str]]:
        """Event and subject of the notices with a status."""
        return [(one["event"], one["subject"]) for one in self.notices if one["status"] == status]


@attrs.define
class Stage:
    """A notifier at work."""

    hook: Hook
    metrics: Metrics
    health: Health

    def about(self, status: str, event: str) -> list[dict[str, Any]]:
        """The notices about an event."""
        return [
            one for one in self.hook.notices if (one["status"], one["event"]) == (status, event)
        ]

    async def until(self, status: str, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait for notices about an event."""
        await eventually(lambda: len(self.about(status, event)) >= times)
        return self.about(status, event)

    async def looks(self) -> None:
        """Wait for a dozen looks."""
        await trio.sleep(LOOK_SECONDS * 12)


@asynccontextmanager
async def notifying(**settings: Any) -> AsyncIterator[Stage]:
    """A notifier, and the server that it tells."""
    hook, metrics, health = Hook(settings.pop("status", 200)), Metrics(), Health()
    fleet = settings.pop("fleet", None)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, hook.serve, 0, host="127.0.0.1"))
        hook.port = listener.socket.getsockname()[1]
        wanted = {"min_interval_seconds": 0.001, "max_per_hour": 1_000, **settings}
        notifier = Notifier(
            NotifySettings(
                webhook_url=f"http://127.0.0.1:{hook.port}/{SECRET}?key={SECRET}",
                template=TEMPLATE,
                **wanted,
            ),
            metrics,
            health,
            "this process",
            fleet=fleet,
            look_seconds=LOOK_SECONDS,
            retry_seconds=LOOK_SECONDS,
            now=lambda: 1_800_000_000.0,
        )
        await nursery.start(notifier.run)
        yield Stage(hook, metrics, health)
        nursery.cancel_scope.cancel()


def low_fees(metrics: Metrics) -> Gauge:
    """An operator's account as every process that has its key sees it."""
    family = metrics.gauge("ha_miner_supplier_balance_health_status", "x", ("supplier",))
    return family.bind("pokt1")


async def test_what_all_processes_see_is_told_by_one_of_them() -> None:
    """An empty account: one notice of the fleet, one when it is over, and again the next time."""
    async with fresh_store() as url, running_gateway(url) as redis:
        names = KeyNames()
        fleets = [Fleet(NoticeWords(redis, names, f"process {number}")) for number in range(3)]
        async with (
            notifying(fleet=fleets[0]) as first,
            notifying(fleet=fleets[1]) as second,
        ):
            stages = [first, second]
            accounts = [low_fees(stage.metrics) for stage in stages]

            def told(status: str) -> int:
                return sum(len(stage.about(status, "fees")) for stage in stages)

            for times in (1, 2):
                for account in accounts:
                    account.value = 1
                await eventually(lambda times=times: told("firing") == times)  # type: ignore[misc]
                for stage in stages:
                    await stage.looks()
                # One that starts meanwhile has nothing new to say.
                async with notifying(fleet=fleets[2]) as third:
                    low_fees(third.metrics).value = 1
                    await third.looks()
                    assert third.hook.notices == []
                for account in accounts:
                    account.value = 2
                await eventually(lambda times=times: told("resolved") == times)  # type: ignore[misc]
                for stage in stages:
                    await stage.looks()
                assert (told("firing"), told("resolved")) == (times, times)


async def test_a_hook_that_is_away_keeps_the_word_for_who_has_it() -> None:
    """The one that took it upon itself to tell does so when it can, and nobody else."""
    async with (
        fresh_store() as url,
        running_gateway(url) as redis,
        notifying(fleet=Fleet(NoticeWords(redis, KeyNames(), "a process")), status=500) as stage,
    ):
        low_fees(stage.metrics).value = 1
        await eventually(lambda: len(stage.hook.asked) >= 2)
        stage.hook.status = 200
        await stage.until("firing", "fees")
        await stage.looks()
        assert len(stage.about("firing", "fees")) == 1


async def test_a_store_that_is_away_keeps_nobody_from_telling() -> None:
    """Nobody can be asked: told twice is better than not at all."""
    redis = Redis("redis://127.0.0.1:1")
    async with notifying(fleet=Fleet(NoticeWords(redis, KeyNames(), "a process"))) as stage:
        low_fees(stage.metrics).value = 1
        await stage.until("firing", "fees")


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what will be so."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            if condition():
                return
            await trio.sleep(LOOK_SECONDS)


async def test_what_happens_is_told_once() -> None:
    """With its sum; nothing is said twice, and there is nothing to recover from."""
    async with notifying(headers={"X-Team": "miners"}) as stage:
        family = stage.metrics.counter("ha_miner_supplier_slashed", "x", ("supplier", "service_id"))
        family.bind("pokt1", "svc1").value += 2
        (notice,) = await stage.until("happened", "slashed")
        assert notice == {
            "status": "happened",
            "severity": "critical",
            "event": "slashed",
            "subject": "pokt1 svc1",
            "text": "2 penalties",
            "process": "this process",
            "time": "2027-01-15T08:00:00Z",
        }
        await stage.looks()
        assert len(stage.hook.notices) == 1
        assert stage.hook.asked[0].startswith(f"POST /{SECRET}?key={SECRET} HTTP/1.1".encode())
        assert b"X-Team: miners" in stage.hook.asked[0]


async def test_what_is_wrong_is_told_and_that_it_is_over() -> None:
    """Store and loops from the readiness checks, nodes and fees from the metrics."""
    async with notifying() as stage:
        wrong = True
        stage.health.add("store", lambda: "the store is not reached" if wrong else None)
        stage.health.add("loops", lambda: "stalled: feed" if wrong else None)
        node = stage.metrics.gauge("relayminer_chain_node_usable", "x", ("kind", "node"))
        node.bind("rpc", "one:1").value = 0
        status = stage.metrics.gauge("ha_miner_supplier_balance_health_status", "x", ("supplier",))
        status.bind("pokt1").value = 1
        for event in ("store away", "loop stalled", "chain node", "fees"):
            await stage.until("firing", event)
        await stage.looks()
        assert len(stage.hook.notices) == 4
        wrong = False
        node.bind("rpc", "one:1").value = 1
        status.bind("pokt1").value = 2
        for event in ("store away", "loop stalled", "chain node", "fees"):
            (over,) = await stage.until("resolved", event)
            assert over["text"].startswith("over: ")
        assert len(stage.hook.notices) == 8


async def test_money_at_risk_is_told_after_its_time() -> None:
    """A window that just opened is no trouble; one whose money stays out is."""
    async with notifying(at_risk_seconds=0.2) as stage:
        risk = stage.metrics.gauge("relayminer_upokt_at_risk", "x", ("supplier", "window"))
        began = trio.current_time()
        risk.bind("pokt1", "claim").value = 400_000
        (notice,) = await stage.until("firing", "window at risk")
        assert trio.current_time() - began >= 0.2
        assert notice["subject"] == "pokt1 claim"
        assert "400000 uPOKT" in notice["text"]
        risk.bind("pokt1", "claim").value = 0
        await stage.until("resolved", "window at risk")


async def test_what_comes_again_soon_is_told_as_one() -> None:
    """Within `min_interval_seconds` counts are added up, and troubles wait."""
    async with notifying(min_interval_seconds=0.5) as stage:
        family = stage.metrics.counter("ha_miner_sessions_failed", "x", ("supplier",))
        child = family.bind("pokt1")
        child.value += 1
        await stage.until("happened", "lost")
        for _ in range(5):
            child.value += 1
            await trio.sleep(LOOK_SECONDS)
        (_, second) = await stage.until("happened", "lost", times=2)
        assert second["text"] == "5 sessions without reward"


async def test_no_more_than_so_many_in_an_hour() -> None:
    """The worst is told first; the rest waits."""
    async with notifying(max_per_hour=3) as stage:
        stage.health.add("store", lambda: "away")
        node = stage.metrics.gauge("relayminer_chain_node_usable", "x", ("kind", "node"))
        for number in range(20):
            node.bind("rpc", str(number)).value = 0
        stage.metrics.counter("ha_miner_sessions_failed", "x").bind().value += 1
        await stage.until("firing", "chain node")
        await stage.looks()
        assert len(stage.hook.notices) == 3
        assert stage.hook.told("happened") == [("lost", "")]
        assert stage.hook.told("firing")[0] == ("store away", "")


async def test_a_flood_of_subjects_is_bounded() -> None:
    """More troubles than anybody reads take no more memory than that."""
    async with notifying(max_per_hour=1) as stage:
        node = stage.metrics.gauge("relayminer_chain_node_usable", "x", ("kind", "node"))
        node.read_all = lambda: {("rpc", str(number)): 0.0 for number in range(SUBJECTS_MAX * 2)}
        await stage.until("firing", "chain node")
        await stage.looks()
        assert len(stage.hook.notices) == 1


@pytest.mark.parametrize("status", [500, None], ids=["refuses", "never answers"])
async def test_a_notice_that_is_not_taken_is_told_later(status: int | None) -> None:
    """Refused or unanswered, it stays to be told; each try ends after its time."""
    async with notifying(status=status, timeout_seconds=0.2) as stage:
        stage.health.add("store", lambda: "away")
        await eventually(lambda: stage.metrics.values("relayminer_notices")["failed",] >= 2)
        assert not stage.hook.notices
        stage.hook.status = 200
        await stage.until("firing", "store away")


async def test_where_it_goes_is_never_said() -> None:
    """Not in the log when it fails, not in a repr, not among the settings shown."""
    stream = io.StringIO()
    set_up_logs("debug", "json", stream)
    try:
        async with notifying(status=500, headers={"Authorization": SECRET}) as stage:
            stage.health.add("store", lambda: "away")
            await eventually(lambda: stage.metrics.values("relayminer_notices")["failed",] > 0)
    finally:
        structlog.reset_defaults()
    assert "notice not taken" in stream.getvalue()
    notify = NotifySettings(
        webhook_url=f"https://hooks.example/{SECRET}", headers={"Authorization": SECRET}
    )
    settings = attrs.evolve(Settings(), notify=notify)
    shown = [one.value for one in shown_settings(settings, Document("x"))]
    for text in (stream.getvalue(), repr(settings), *shown, stage.metrics.page().decode()):
        assert SECRET not in text
        assert "hooks.example" not in text


def test_a_template_of_json_stays_json() -> None:
    """Whatever a notice says, it breaks nothing."""
    nasty = 'say "no"\n\\ }} {{text}}'
    fields = dict.fromkeys(FIELDS, nasty)
    assert set(json.loads(filled(TEMPLATE, fields)).values()) == {nasty}
    assert filled("{{event}}: {{text}}", {**fields, "event": "e", "text": "a\nb"}) == "e: a\nb"


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"webhook_url": "ftp://x/"}, "webhook_url"),
        ({"webhook_url": "https://"}, "webhook_url"),
        ({"webhook_url": "http://x:99999/"}, "webhook_url"),
        ({"template": '{"text": "{{nothing}}"}'}, "template"),
        ({"template": '{"text": "{{text}}"'}, "template"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"max_per_hour": 0}, "max_per_hour"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], path: str) -> None:
    """Each by its name, and without saying the address."""
    (complaint,) = check_notify(NotifySettings(**changed))
    assert complaint.key[:2] == ("notify", path)
    assert "x:99999" not in repr(complaint)


def test_the_default_is_silence_and_well() -> None:
    """Nothing is sent, nothing is complained about."""
    assert not NotifySettings().webhook_url
    assert not [one for one in check_settings(Settings()) if one.key[0] == "notify"]
