"""The section `tracing`: what cannot work is said before the start, without a secret."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from relayminer.config.checks import check_settings
from relayminer.config.document import Document
from relayminer.config.settings import Settings
from relayminer.config.shown import shown_settings
from relayminer.config.tracing import TracingSettings, check_tracing
from relayminer.observing import traces_of
from relayminer.telemetry.metrics import Metrics

SECRET = "secret-91b2"


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"endpoint": "collector:4317"}, "endpoint"),
        ({"endpoint": ""}, "endpoint"),
        ({"endpoint": "http://"}, "endpoint"),
        ({"endpoint": "http://collector:99999/v1/traces"}, "endpoint"),
        ({"endpoint": "http://collector:4318"}, "endpoint"),
        ({"endpoint": "http://collector:4318/v1/tra ces"}, "endpoint"),
        ({"endpoint": f"http://user:{SECRET}@collector/v1/traces"}, "endpoint"),
        ({"headers": {"a b": SECRET}}, "headers"),
        ({"headers": {"Authorization": f"{SECRET}\r\nX: y"}}, "headers"),
        ({"ratio": 1.5}, "ratio"),
        ({"ratio": float("nan")}, "ratio"),
        ({"ratio": -0.1}, "ratio"),
        ({"service_name": ""}, "service_name"),
        ({"max_waiting_spans": 0}, "max_waiting_spans"),
        ({"interval_seconds": 0.0}, "interval_seconds"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, Any], path: str) -> None:
    """Each by its name, with what to write instead."""
    (complaint,) = check_tracing(TracingSettings(**changed))
    assert complaint.key[:2] == ("tracing", path)
    assert SECRET not in repr(complaint)


def test_the_default_is_off_and_well() -> None:
    """Nothing is made, nothing is complained about, no metric is declared."""
    metrics = Metrics()
    assert traces_of(Settings().tracing, metrics) is None
    assert not [one for one in metrics.table() if "trace" in one.name]
    assert not [one for one in check_settings(Settings()) if one.key[0] == "tracing"]


def test_what_lets_us_in_is_never_shown() -> None:
    """Not in a repr, not among the settings shown."""
    tracing = TracingSettings(
        endpoint=f"https://collector/v1/traces?key={SECRET}", headers={"Authorization": SECRET}
    )
    settings = attrs.evolve(Settings(), tracing=tracing)
    shown = [one.value for one in shown_settings(settings, Document("x"))]
    for text in (repr(settings), *shown):
        assert SECRET not in text
