"""A hundred mistakes that nobody thought of: made from the schema of the settings, by a seed."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from click.testing import CliRunner

from relayminer.cli import main
from relayminer.cli.failures import UNUSABLE
from relayminer.config import ConfigError, load
from relayminer.config.masking import MASK
from relayminer.config.schema import schema
from tests.config.test_mistakes import VALID, with_mistake, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNT = 100
SECRET = "hunter2-of-a-backend"
BACKEND = "relayer.services.eth.backends.jsonrpc"
SECRETS = tuple(
    f"{BACKEND}.authentication.{name}" for name in ("password", "bearer_token", "plain_token")
)
EXCLUSIVE: tuple[tuple[str, dict[str, Any]], ...] = (
    (BACKEND, {"url": "http://a:1", "urls": ["http://b:1"]}),
    (f"{BACKEND}.tls", {"insecure": True, "ca_file": "ca.pem"}),
    ("relayer.tls", {"key": "a.key"}),
    ("relayer.tls", {"client_ca": "ca.pem"}),
)
CHOICES = {
    "redis.appendfsync": "everysec",
    "relayer.validation_mode": "eager",
    "relayer.publish": "confirm",
    "relayer.when_store_away": "spool",
    "relayer.metering.fail_behavior": "open",
    "logging.level": "info",
    "logging.format": "json",
    f"{BACKEND}.load_balancing": "round_robin",
    f"{BACKEND}.protocol": "http1",
}
ADDRESSES = ("relayer.listen", "control.listen", "console.listen", "debug.listen")
URLS = ("redis.url", "chain.rpc_url", f"{BACKEND}.url")


@frozen
class Mistake:
    """One thing that is wrong.

    Attributes:
        kind: what was done.
        key: dotted; what the message must name, or a setting above or below it.
        document: the whole file.
        value: what was written there, when a message can show it.
        secret: what no message may show.
    """

    kind: str
    key: str
    document: dict[str, Any]
    value: Any = None
    secret: str = ""


def leaves(form: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Settings with one fixed path, with their forms; those of a service are below `eth`."""
    for name, entry in form.get("properties", {}).items():
        key = f"{above}.{name}" if above else name
        if key == "relayer.services":
            yield from leaves(entry["additionalProperties"], f"{key}.eth")
        elif key.endswith(".eth.backends"):
            yield from leaves(entry["additionalProperties"], f"{key}.jsonrpc")
        elif "properties" in entry:
            yield from leaves(entry, key)
        else:
            yield key, entry


def sections(form: dict[str, Any]) -> list[str]:
    """Settings that hold others."""
    return sorted({key.rpartition(".")[0] for key, _ in leaves(form)} - {""})


LEAVES = dict(leaves(schema()))
SECTIONS = sections(schema())
NUMBERS = [key for key, form in LEAVES.items() if form.get("type") == "integer" or "oneOf" in form]


def changed(kind: str, key: str, value: Any, *, secret: str = "") -> Mistake:
    """The valid document with another value at `key`."""
    document = copy.deepcopy(VALID)
    with_mistake(document, key, value)
    return Mistake(kind, key, document, value, secret)


def wrong_type(dice: random.Random) -> Mistake:
    """A value of another kind than the setting's."""
    key = dice.choice(sorted(LEAVES))
    kind = LEAVES[key].get("type", "duration")
    wrong: dict[str, tuple[Any, ...]] = {
        "string": (5, 1.5, True, [], {"a": 1}),
        "boolean": ("yes", 1, [], {"a": 1}),
        "integer": ("many", 1.5, True, [], {"a": 1}),
        "duration": ("soon", "5 parsecs", True, [], {"a": 1}),
        "array": ("a", 5, {"a": 1}),
        "object": ("a", 5, [1]),
    }
    return changed("wrong type", key, dice.choice(wrong[kind]))


def out_of_range(dice: random.Random) -> Mistake:
    """Less than nothing, or no number at all."""
    key = dice.choice(NUMBERS)
    return changed("out of range", key, dice.choice([-1, -(10**9)]))


def unknown_key(dice: random.Random) -> Mistake:
    """A setting that there is not."""
    name = dice.choice(["frobnicate", "x", "colour", "http2_mode", "été", "0", "a b"])
    return changed("unknown key", f"{dice.choice(SECTIONS)}.{name}", dice.choice([1, "a", True]))


def misspelt(dice: random.Random) -> Mistake:
    """A letter too many, one too few, two in the wrong order, or hyphens."""
    while True:
        key = dice.choice(sorted(LEAVES))
        above, _, name = key.rpartition(".")
        at = dice.randrange(len(name) - 1)
        other = dice.choice(
            [
                name[:at] + name[at + 1 :],
                name[:at] + "q" + name[at:],
                name[:at] + name[at + 1] + name[at] + name[at + 2 :],
                name.replace("_", "-"),
            ]
        )
        wrong = f"{above}.{other}" if above else other
        if len(name) > len("port") and wrong not in LEAVES and wrong not in SECTIONS:
            return changed("misspelt", wrong, 5)


def not_a_section(dice: random.Random) -> Mistake:
    """Something else where settings are indented."""
    return changed("not a section", dice.choice(SECTIONS), dice.choice([5, "a", [1], True]))


def both_of_exclusive(dice: random.Random) -> Mistake:
    """Settings of which only one may be there, or of which one needs another."""
    key, values = dice.choice(EXCLUSIVE)
    return changed("exclusive", key, values)


def wrong_word(dice: random.Random) -> Mistake:
    """No word of those that there are."""
    key = dice.choice(sorted(CHOICES))
    return changed("wrong word", key, CHOICES[key] + dice.choice(["y", " x", "_2"]))


def wrong_address(dice: random.Random) -> Mistake:
    """An address to listen at that is none."""
    value = dice.choice(["8080", "localhost", "a:http", "1.2.3.4:0x50", ":99999", "a b:1"])
    key = dice.choice(ADDRESSES)
    mistake = changed("wrong address", key, value)
    mistake.document.setdefault(key.partition(".")[0], {})["enabled"] = True
    if key == "relayer.listen":
        del mistake.document["relayer"]["enabled"]
    return mistake


def wrong_scheme(dice: random.Random) -> Mistake:
    """A URL of another protocol, with a password in it."""
    scheme = dice.choice(["ftp", "gopher", "file", "htp", "mailto", "javascript"])
    url = f"{scheme}://operator:{SECRET}@host:1/x?api_key={SECRET}"
    return changed("wrong scheme", dice.choice(URLS), url, secret=SECRET)


def secret_of_wrong_type(dice: random.Random) -> Mistake:
    """A password that is a list, a number, a mapping."""
    value = dice.choice([[SECRET], {"value": SECRET}, 31337133731337])
    secret = SECRET if isinstance(value, list | dict) else str(value)
    return changed("secret", dice.choice(SECRETS), value, secret=secret)


KINDS: tuple[Callable[[random.Random], Mistake], ...] = (
    wrong_type,
    out_of_range,
    unknown_key,
    misspelt,
    not_a_section,
    both_of_exclusive,
    wrong_word,
    wrong_address,
    wrong_scheme,
    secret_of_wrong_type,
)


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_generated_mistake_is_told(tmp_path: Path, seed: int) -> None:
    """File and line, the setting, what was written (no secret), why not, and what to do."""
    mistake = KINDS[seed % len(KINDS)](random.Random(seed))  # noqa: S311 - repeatable, on purpose
    path = write(tmp_path / "relayminer.yaml", mistake.document)
    with pytest.raises(ConfigError) as caught:
        load(path)
    told = [one for one in caught.value.problems if names(one.key, mistake.key)]
    assert told, f"{mistake.kind} at {mistake.key}: {caught.value}"
    for problem in caught.value.problems:
        assert problem.source == str(path)
        assert 1 <= problem.line <= len(path.read_text(encoding="utf-8").splitlines())
        assert problem.reason
        assert problem.fix
    assert shows(told[0].value, mistake), f"{mistake.kind} at {mistake.key}: {caught.value}"
    if seed // len(KINDS) % 3 == 0:
        on_the_command_line(path, mistake)


def names(told: str, key: str) -> bool:
    """Whether a message names a setting, or one that it cannot be told apart from."""
    return told == key or told.startswith(f"{key}.") or key.startswith(f"{told}.")


def shows(told: str, mistake: Mistake) -> bool:
    """Whether a message shows the value; sections are abridged, secrets masked."""
    value = mistake.value
    if mistake.secret:
        return MASK in told or told in {"[...]", "{...}"}
    if isinstance(value, dict | list):
        return True
    # A setting that there is not may be a secret, for all one knows.
    return told == MASK or str(value) in told or mistake.kind in {"unknown key", "misspelt"}


def on_the_command_line(path: Path, mistake: Mistake) -> None:
    """The same through `config show`: told on standard error, exit code 2, no traceback."""
    done = CliRunner().invoke(main, ["config", "show", "--config", str(path)])
    assert done.exit_code == UNUSABLE
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    assert str(path) in done.output
    assert not mistake.secret or mistake.secret not in done.output + done.stderr


def test_a_seed_makes_the_same_mistake_again() -> None:
    """A failure can be looked at again."""
    for make in KINDS:
        one, other = (make(random.Random(7)) for _ in range(2))  # noqa: S311 - as above
        assert one == other
