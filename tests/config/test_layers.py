"""Settings from the environment and the command line, over those of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from relayminer.config.document import read_document
from relayminer.config.environment import setting_keys, variable_name
from relayminer.config.errors import ConfigError
from relayminer.config.load import load, settle
from relayminer.config.schema import schema
from relayminer.config.shown import shown_settings

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLE = CONFIG / "relayminer.example.yaml"
SCHEMA = CONFIG / "relayminer.schema.json"

FILE = """\
redis:
  url: redis://file:6379
miner:
  batch_entries: ${BATCH:-250}
  consumer_name: "${NAME}"
relayer:
  services:
    eth:
      backends:
        jsonrpc:
          url: http://${BACKEND_HOST}:8545
          headers: {X-Literal: "$${NAME}"}
"""
VARIABLES = {"NAME": "7", "BACKEND_HOST": "node-1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that names variables."""
    path = tmp_path / "relayminer.yaml"
    path.write_text(FILE)
    return path


def test_variables_in_a_file_are_filled_in(path: Path) -> None:
    """Without quotes the text is read as YAML, with quotes it stays text, `$${` is no variable."""
    settings = load(path, environ=VARIABLES)
    assert settings.miner.batch_entries == 250
    assert settings.miner.consumer_name == "7"
    backend = settings.relayer.services["eth"].backends["jsonrpc"]
    assert backend.url == "http://node-1:8545"
    assert backend.headers == {"X-Literal": "${NAME}"}


def test_a_variable_that_is_not_there_is_told_with_its_place(path: Path) -> None:
    """The file, the line, the setting and the name of the variable."""
    with pytest.raises(ConfigError) as refused:
        load(path, environ={"NAME": "x"})
    (problem,) = refused.value.problems
    assert (problem.line, problem.key) == (11, "relayer.services.eth.backends.jsonrpc.url")
    assert "BACKEND_HOST" in problem.reason


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(path: Path) -> None:
    """And where each value came from is known."""
    environ = {
        **VARIABLES,
        "RELAYMINER_REDIS__URL": "redis://environment:6379",
        "RELAYMINER_MINER__BATCH_ENTRIES": "10",
        "RELAYMINER_KEYS__KEYRING__KEY_NAMES": "[a, b]",
        "RELAYMINER_HOME": "/somewhere",
    }
    document = read_document(path, environ)
    loaded = settle(document, path, {"redis.url": "redis://typed:6379"}, environ)
    settings = loaded.settings
    assert settings.redis.url == "redis://typed:6379"
    assert settings.miner.batch_entries == 10
    assert settings.keys.keyring is not None
    assert settings.keys.keyring.key_names == ("a", "b")
    assert str(settings.home) == "/somewhere"
    sources = {
        name: document.place_of(tuple(name.split("."))).source
        for name in ("redis.url", "miner.batch_entries", "miner.consumer_name")
    }
    assert sources == {
        "redis.url": "command line",
        "miner.batch_entries": "environment",
        "miner.consumer_name": str(path),
    }


@pytest.mark.parametrize(
    ("name", "value", "key", "fix"),
    [
        ("RELAYMINER_REDIS_URL", "x", "RELAYMINER_REDIS_URL", "RELAYMINER_REDIS__URL"),
        ("RELAYMINER_REDIS__ULR", "x", "RELAYMINER_REDIS__ULR", "RELAYMINER_REDIS__URL"),
        ("RELAYMINER_MINER__BATCH_ENTRIES", "many", "RELAYMINER_MINER__BATCH_ENTRIES", "digits"),
        ("RELAYMINER_REDIS__URL", "ftp://x", "RELAYMINER_REDIS__URL", "redis"),
        ("RELAYMINER_RELAYER__SERVICES__ETH", "x", "RELAYMINER_RELAYER__SERVICES__ETH", "file"),
        ("RELAYMINER_MINER__READ_BLOCK_SECONDS", "[", "", "indentation"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    name: str, value: str, key: str, fix: str
) -> None:
    """A typing error in a variable's name is told, not passed over."""
    with pytest.raises(ConfigError) as refused:
        load(None, environ={name: value})
    (problem,) = refused.value.problems
    assert problem.source == "environment"
    assert key in problem.key
    assert fix in problem.fix


def test_variables_of_others_are_left_alone() -> None:
    """Keys of the load tester, and what Kubernetes sets beside a service of our name."""
    names = (
        *("RELAYMINER_APP_PRIV_KEY", "RELAYMINER_GATEWAY_PRIV_KEY", "RELAYMINER_SERVICE_HOST"),
        *("RELAYMINER_SERVICE_PORT", "RELAYMINER_PORT", "RELAYMINER_PORT_8080_TCP_ADDR"),
        *("RELAYMINER_RELAYER_PORT_8080_TCP", "RELAYMINER_BROWSER_REQUIRED"),
    )
    assert load(None, environ=dict.fromkeys(names, "x")) == load(None)


def test_every_setting_outside_maps_has_one_variable() -> None:
    """No two settings share a variable."""
    keys = list(setting_keys())
    names = {variable_name(key) for key in keys}
    assert len(names) == len(keys) > 100
    assert "RELAYMINER_RELAYER__WEBSOCKET__MAX_MESSAGE_BYTES" in names
    assert not any(name.startswith("RELAYMINER_RELAYER__SERVICES") for name in names)


def test_what_holds_is_shown_with_its_origin_and_without_secrets(path: Path) -> None:
    """`config show`: every setting once, passwords and header values masked."""
    environ = {**VARIABLES, "RELAYMINER_REDIS__URL": "redis://me:secret@store:6379"}
    loaded = settle(read_document(path, environ), path, {"home": "/typed"}, environ)
    shown = {one.key: one for one in shown_settings(loaded.settings, loaded.document)}
    assert shown["home"].origin == "command line"
    assert shown["redis.url"].value == "redis://***@store:6379"
    assert shown["redis.url"].origin == "environment (RELAYMINER_REDIS__URL)"
    assert shown["miner.batch_entries"].origin == f"{path}:4"
    assert shown["miner.require_profit"].origin == "default"
    backend = "relayer.services.eth.backends.jsonrpc"
    assert shown[f"{backend}.headers"].value == "{X-Literal: ***}"
    assert "relayer.services.eth.lanes" in shown
    assert "secret" not in str(shown)


def test_the_schema_for_editors_is_that_of_the_settings() -> None:
    """`relayminer config schema > config/relayminer.schema.json` after a change of the settings."""
    assert json.loads(SCHEMA.read_text()) == schema()


def test_the_example_fits_the_schema() -> None:
    """Names, kinds of values and nothing else."""
    values = read_document(EXAMPLE).values
    assert misfits(values, schema(), "") == []
    values["relayer"]["listen"] = 5
    values["redis"] = {"ulr": "x"}
    assert misfits(values, schema(), "") == [".relayer.listen", ".redis.ulr"]


def misfits(value: Any, form: dict[str, Any], where: str) -> list[str]:
    """Places that do not fit; of the words of JSON Schema, those that the schema uses."""
    if "oneOf" in form:
        found = [misfits(value, one, where) for one in form["oneOf"]]
        return [] if [] in found else [where]
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if not isinstance(value, kinds[form["type"]]) or "pattern" in form:
        fits = isinstance(value, str) and re.fullmatch(form.get("pattern", "^$"), value)
        return [] if fits else [where]
    bad: list[str] = []
    if isinstance(value, dict):
        others = form["additionalProperties"]
        for name, inner in value.items():
            entry = form.get("properties", {}).get(name, others)
            place = f"{where}.{name}"
            bad += misfits(inner, entry, place) if entry else [place]
    if isinstance(value, list):
        for index, inner in enumerate(value):
            bad += misfits(inner, form["items"], f"{where}[{index}]")
    return bad
