"""Alert rules and dashboards ask for what there is, and would show something."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.observability.declared import declared
from tests.observability.exposition import LIBRARY
from tests.observability.promql import Asked, SyntaxProblemError, asked

if TYPE_CHECKING:
    from tests.observability.conftest import Watched

OBSERVABILITY = Path(__file__).parents[2] / "tilt" / "observability"
ALERTS = OBSERVABILITY / "alerts.yaml"
BOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
TARGET_LABELS = {"instance", "job", "role", "pod"}
"""Labels that Prometheus adds."""
TEMPLATES = {"supplier": "$supplier", "service_id": "$service"}
NEED_TROUBLE = "or vector(0)"
WAYS_OF_GRAFANA = {"$__rate_interval": "5m", "$__range": "1h"}


def rules() -> list[dict[str, Any]]:
    """All alert rules."""
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    """All panels that ask for something."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Where each expression is, and the expression."""
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for path in BOARDS:
        for panel in panels(path):
            found += [
                (f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]
            ]
    return found


def family_of(sample: str, families: dict[str, set[str]]) -> str | None:
    """The metric that a sample belongs to, as the table names it."""
    for name in (sample, *(sample.removesuffix(end) for end in ("_bucket", "_sum", "_count"))):
        if name in families:
            return name
    return None


async def test_every_expression_asks_for_what_there_is(tmp_path: Path, watched: Watched) -> None:
    """Metrics of the table, each with labels that it has; grouped by labels of one of them."""
    families = {one.name: set(one.labels) for one in await declared(tmp_path)}
    for place, expression in expressions():
        request = asked(expression)
        assert request.metrics, place
        known: set[str] = TARGET_LABELS | {"le"}
        for sample, labels in request.metrics.items():
            if sample.startswith(LIBRARY):
                assert f"\n{sample}" in watched.node.metrics(), (place, sample)
                continue
            family = family_of(sample, families)
            assert family is not None, (place, sample)
            has = families[family] | TARGET_LABELS
            assert labels <= has | ({"le"} if sample.endswith("_bucket") else set()), (
                place,
                sample,
            )
            known |= families[family]
        assert request.grouped <= known, place


def test_every_panel_shows_something_after_a_run(watched: Watched) -> None:
    """Each query finds samples once relays were served, claimed, proven and settled.

    Only what counts trouble may find none, and says 0 then.
    """
    for path in BOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                for sample in asked(target["expr"]).metrics:
                    if not sample.startswith(LIBRARY) and sample not in watched.exposed.samples:
                        assert NEED_TROUBLE in target["expr"], (path.stem, panel["title"], sample)


def test_rules_say_how_bad_it_is_and_what_to_do() -> None:
    """12 to 15 rules, each with a severity, a summary and a remedy; no name twice."""
    names = [rule["alert"] for rule in rules()]
    assert 12 <= len(names) == len(set(names)) <= 15
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]
        assert len(rule["annotations"]["summary"]) > 10, rule["alert"]
        assert len(rule["annotations"]["runbook"]) > 30, rule["alert"]


async def test_templates_of_rules_name_labels_that_results_have(tmp_path: Path) -> None:
    """`{{ $labels.x }}` is a label by which the expression is grouped, or one of its metrics'."""
    families = {one.name: set(one.labels) for one in await declared(tmp_path)}
    for rule in rules():
        request = asked(rule["expr"])
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert used <= _result_labels(rule["expr"], request, families), rule["alert"]


def _result_labels(expression: str, request: Asked, families: dict[str, set[str]]) -> set[str]:
    if re.match(r"\s*(sum|max|min|avg|count) by", expression) and "group_right" not in expression:
        return request.grouped
    return set.union(*(families[str(family_of(one, families))] for one in request.metrics))


def test_boards_are_whole() -> None:
    """Three of them, each with its variables, ids of its own, and no panel on another."""
    assert [path.stem for path in BOARDS] == ["economics", "health", "services"]
    ids = set()
    for path in BOARDS:
        document = json.loads(path.read_text(encoding="utf-8"))
        ids.add(document["uid"])
        names = [one["name"] for one in document["templating"]["list"]]
        assert names == ["datasource", "supplier", "service"]
        numbers = [panel["id"] for panel in document["panels"]]
        assert len(numbers) == len(set(numbers))
        taken: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert at["x"] + at["w"] <= 24, panel["title"]
            assert not cells & taken, panel["title"]
            taken |= cells
    assert len(ids) == len(BOARDS)


async def test_the_variables_choose(tmp_path: Path) -> None:
    """They are filled from metrics that have the label, and selectors use them."""
    families = {one.name: set(one.labels) for one in await declared(tmp_path)}
    for path in BOARDS:
        document = json.loads(path.read_text(encoding="utf-8"))
        for one in document["templating"]["list"][1:]:
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"])
            assert match is not None
            assert match[2] in families[match[1]]
    text = "".join(path.read_text(encoding="utf-8") for path in BOARDS)
    for label, variable in TEMPLATES.items():
        assert f'{label}=~\\"{variable}\\"' in text


@pytest.mark.parametrize("wrong", ["sum(a", "a{b=", "a $ b", "rate(x[5m]))"])
def test_what_is_no_expression_is_found(wrong: str) -> None:
    """The test's own reader is not satisfied with anything."""
    with pytest.raises((SyntaxProblemError, IndexError)):
        asked(wrong)


def promtool(*arguments: str) -> None:
    """Run Prometheus' own checker; skipped where there is none."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool on this machine: apt-get install prometheus")
    ended = subprocess.run(
        [path, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_takes_the_rules() -> None:
    """By its own checker."""
    promtool("check", "rules", str(ALERTS))


def test_prometheus_takes_the_queries_of_the_boards(tmp_path: Path) -> None:
    """As recording rules, with Grafana's variables filled in."""
    records: list[dict[str, str]] = []
    for path in BOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in WAYS_OF_GRAFANA.items():
                    expression = expression.replace(name, value)
                records.append({"record": f"board:{len(records)}", "expr": expression})
    rules_file = tmp_path / "boards.yaml"
    document = {"groups": [{"name": "boards", "rules": records}]}
    rules_file.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("check", "rules", str(rules_file))


def test_what_happens_for_the_first_time_raises_its_alert(tmp_path: Path) -> None:
    """A counter of something rare begins at 1, which is no increase of anything."""
    labels = 'supplier="pokt1",service_id="svc1"'
    document = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f"ha_miner_supplier_slashed_total{{{labels}}}",
                        "values": "_x20 1x60",
                    }
                ],
                "alert_rule_test": [
                    {"eval_time": "19m", "alertname": "SupplierSlashed", "exp_alerts": []},
                    {
                        "eval_time": "23m",
                        "alertname": "SupplierSlashed",
                        "exp_alerts": [
                            {
                                "exp_labels": {
                                    "severity": "critical",
                                    "supplier": "pokt1",
                                    "service_id": "svc1",
                                },
                                "exp_annotations": _annotations("SupplierSlashed"),
                            }
                        ],
                    },
                    {"eval_time": "59m", "alertname": "SupplierSlashed", "exp_alerts": []},
                ],
            }
        ],
    }
    tests_file = tmp_path / "rules_test.yaml"
    tests_file.write_text(yaml.safe_dump(document), encoding="utf-8")
    promtool("test", "rules", str(tests_file))


def _annotations(name: str) -> dict[str, str]:
    (rule,) = [one for one in rules() if one["alert"] == name]
    filled = {"{{ $labels.supplier }}": "pokt1", "{{ $labels.service_id }}": "svc1"}
    texts: dict[str, str] = dict(rule["annotations"])
    for template, value in filled.items():
        texts = {key: text.replace(template, value) for key, text in texts.items()}
    return texts
