"""Metrics, logs, health and the control plane."""

from __future__ import annotations

import io
import json

import pytest
import structlog
import trio

from relayminer.net.client import HttpPool, fetch
from relayminer.net.url import parse_backend_url
from relayminer.net.watchdog import Watchdog
from relayminer.telemetry.control import ControlPlane
from relayminer.telemetry.errors import TelemetryError
from relayminer.telemetry.health import Health
from relayminer.telemetry.logs import set_up_logs
from relayminer.telemetry.metrics import OVERFLOW, Described, Metrics


def test_the_page_has_what_was_counted() -> None:
    """Counters, gauges and histograms in the text form that Prometheus reads."""
    metrics = Metrics()
    relays = metrics.counter("ha_relayer_relays_served", "Served", ("service_id",))
    relays.bind("anvil").value += 3
    metrics.gauge("ha_relayer_height", "Height").bind().read = lambda: 7
    latency = metrics.histogram("ha_relayer_latency_seconds", "Latency", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 2.0):
        latency.bind().observe(seconds)
    page = metrics.page().decode()
    assert 'ha_relayer_relays_served_total{service_id="anvil"} 3.0' in page
    assert "ha_relayer_height 7.0" in page
    assert 'ha_relayer_latency_seconds_bucket{le="0.1"} 2.0' in page
    assert 'ha_relayer_latency_seconds_bucket{le="1.0"} 3.0' in page
    assert 'ha_relayer_latency_seconds_bucket{le="+Inf"} 4.0' in page
    assert "ha_relayer_latency_seconds_count 4.0" in page
    assert "ha_relayer_latency_seconds_sum 2.65" in page
    assert "process_cpu_seconds_total" in page


def test_series_are_bounded() -> None:
    """Past the bound everything new is counted as `other`."""
    family = Metrics().counter("x", "x", ("service_id",))
    for n in range(5_000):
        family.bind(str(n)).value += 1
    assert len(family._known) <= 2_001
    assert family.bind("one more") is family.bind(OVERFLOW)


def test_mistakes_in_declarations_are_errors() -> None:
    """A name twice, or labels that do not fit."""
    metrics = Metrics()
    family = metrics.counter("x", "x", ("a",))
    with pytest.raises(TelemetryError, match="declared twice"):
        metrics.gauge("x", "x")
    with pytest.raises(TelemetryError, match="has labels"):
        family.bind("one", "two")


def test_a_gauge_of_many_values_forgets_what_is_gone() -> None:
    """Values that are asked for at the scrape leave no series behind."""
    metrics = Metrics()
    values: dict[tuple[str, ...], float] = {("a",): 1.0, ("b",): 2.0}
    metrics.gauge("lag", "x", ("supplier",)).read_all = lambda: values
    assert b'lag{supplier="b"} 2.0' in metrics.page()
    del values["b",]
    assert b'supplier="b"' not in metrics.page()


def test_a_counter_has_a_second_name() -> None:
    """What one counter says is on the page under both names, each with its labels."""
    metrics = Metrics()
    family = metrics.counter("one", "x", ("a", "b"))
    metrics.alias("two", ("c", "d"), family)
    family.bind("1", "2").value += 3
    page = metrics.page()
    assert b'one_total{a="1",b="2"} 3.0' in page
    assert b'two_total{c="1",d="2"} 3.0' in page
    with pytest.raises(TelemetryError, match="has labels"):
        metrics.alias("three", ("c",), family)


def test_the_table_says_what_was_declared() -> None:
    """Names as the exposition has them, by name, with kind, labels and meaning."""
    metrics = Metrics()
    always = metrics.table()
    metrics.histogram("b_seconds", "how long", ("x",))
    metrics.counter("a", "how many")
    assert [one for one in metrics.table() if one not in always] == [
        Described("a_total", "counter", (), "how many"),
        Described("b_seconds", "histogram", ("x",), "how long"),
    ]


def test_health_collects_problems() -> None:
    """Nothing is ready by assertion."""
    health = Health()
    health.add("store", lambda: None)
    assert health.problems() == {}
    health.add("height", lambda: "no block")
    assert health.problems() == {"height": "no block"}
    health.remove("height")
    assert health.problems() == {}


def test_logs_are_json_without_secrets_or_payloads() -> None:
    """One object per line; what looks secret is hidden, bytes are only counted."""
    stream = io.StringIO()
    set_up_logs("info", "json", stream)
    structlog.get_logger("x").info(
        "event", private_key="abc", bearer_token="t", payload=b"123", height=5, text="y" * 3_000
    )
    structlog.get_logger("x").debug("hidden")
    [line] = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "event"
    assert event["height"] == 5
    assert event["private_key"] == "(hidden)"
    assert event["bearer_token"] == "(hidden)"
    assert event["payload"] == "(3 bytes)"
    assert event["text"].endswith("(3000 characters)")


async def test_the_control_plane_serves_its_pages() -> None:
    """Metrics, health and readiness on their own port; the service stops when cancelled."""
    metrics, health = Metrics(), Health()
    metrics.counter("ha_relayer_x", "x").bind().value += 1
    plane = ControlPlane(["127.0.0.1:0"], metrics, health)
    async with trio.open_nursery() as nursery:
        watchdog = Watchdog()
        nursery.start_soon(watchdog.run)
        await nursery.start(plane.run)
        pool = HttpPool(parse_backend_url(plane.addresses[0]).origin, watchdog)
        page = await fetch(pool, b"GET", b"/metrics", timeout_seconds=5)
        assert page.status == 200
        assert b"ha_relayer_x_total 1.0" in page.body
        assert (await fetch(pool, b"GET", b"/health", timeout_seconds=5)).status == 200
        assert (await fetch(pool, b"GET", b"/ready", timeout_seconds=5)).status == 200
        health.add("height", lambda: "no block")
        ready = await fetch(pool, b"GET", b"/ready", timeout_seconds=5)
        assert ready.status == 503
        assert json.loads(ready.body)["problems"] == {"height": "no block"}
        pool.close()
        nursery.cancel_scope.cancel()
