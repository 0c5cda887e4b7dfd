"""How each command of README and docs is executed by a test, or why it is not."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

BY_HAND: Final = "tests/docs/test_commands.py::test_trying_it_by_hand_works"
HISTORIES: Final = "tests/histories/test_histories.py::test_every_history_ends_well"


@frozen
class Here:
    """Run to its end by tests/docs/test_execution.py.

    Attributes:
        line: as on the page.
        codes: exit codes that are right where the page's session, say, does not exist.
        told: a part of what it prints, on either output.
        more: words that a person would be asked for.
    """

    line: str
    told: str = ""
    codes: tuple[int, ...] = (0,)
    more: tuple[str, ...] = ()


@frozen
class Serves:
    """Started by tests/docs/test_execution.py, and stopped when it serves."""

    line: str


@frozen
class Elsewhere:
    """Run by another test, which may set it up in its own way.

    Attributes:
        pattern: of the line.
        test: `file::function`.
    """

    pattern: str
    test: str


@frozen
class Not:
    """Not run by a test; what it stands on is.

    Attributes:
        pattern: of the line.
        reason: why.
    """

    pattern: str
    reason: str


GO_FILES: Final = "--relayer relayer.yaml --miner miner.yaml"
CONFIG: Final = "--config relayminer.yaml"
WAYS: Final[tuple[Here | Serves | Elsewhere | Not, ...]] = (
    Here("relayminer version", "relayminer"),
    Here("relayminer relayer validate --config relayer.yaml", "would start"),
    Here("relayminer miner validate --config miner.yaml", "would start"),
    Here(f"relayminer config import {GO_FILES} --output relayminer.yaml"),
    Here(f"relayminer config show {CONFIG} --set", "chain.rpc_url"),
    Here(f"relayminer check {CONFIG}", "store"),
    Here(f"relayminer explain 5b1c {CONFIG}", "5b1c", (1,)),
    Here("relayminer explain pokt1... --height 120", "pokt1...", (1,)),
    Here("relayminer earnings --by service", "earned"),
    Here("relayminer earnings --by day --since 2026-11-01 --json", "earned"),
    Here("relayminer ledger export --format csv --file ledger.csv"),
    Here("relayminer ledger export --config shadow.yaml --format jsonl"),
    Here(
        "relayminer systemd --config /etc/relayminer/relayminer.yaml --user relayminer",
        "Type=notify",
    ),
    Here("relayminer systemd --cosmovisor /usr/local/bin/cosmovisor", "NotifyAccess=all"),
    Here(
        "relayminer keys import --file keys.encrypted --keys-file supplier-keys.yaml",
        "pokt1",
        more=("--passphrase-file", "passphrase"),
    ),
    Here(f"relayminer keys check {CONFIG}", "pokt1"),
    Serves(f"relayminer run {CONFIG} --roles relayer,miner,cache-leader"),
    Serves(f"relayminer run {CONFIG} --roles miner,cache-leader"),
    Serves(f"relayminer run {CONFIG} --roles relayer"),
    Serves(
        "RELAYMINER_HOME=/var/lib/relayminer-shadow RELAYMINER_MINER__SHADOW=true "
        f"RELAYMINER_CONTROL__LISTEN=127.0.0.1:9192 relayminer run {CONFIG} --roles miner"
    ),
    Elsewhere(
        "make demo", "tests/e2e/test_demo.py::test_every_relay_is_paid_and_every_balance_exact"
    ),
    Elsewhere("relayminer devnet --with-backend", BY_HAND),
    Elsewhere("relayminer run --config config/relayminer.devnet.yaml", BY_HAND),
    Elsewhere("relayminer relay jsonrpc", BY_HAND),
    Elsewhere(
        "relayminer relay jsonrpc --service eth --node .*",
        "tests/cli/test_against_devnet.py::test_a_relay_can_be_signed_with_keys_of_a_file",
    ),
    Elsewhere(
        r"cp config/relayminer\.example\.yaml relayminer\.yaml",
        "tests/docs/test_commands.py::test_check_names_what_the_example_still_needs",
    ),
    Elsewhere(
        "pip install -e .|relayminer run|pytest",
        "tests/conformance/test_example.py::test_the_examples_own_tests_pass",
    ),
    Elsewhere(r"\.venv/bin/python -m tests\.histories .*", HISTORIES),
    Elsewhere(
        "helm upgrade .*", "tests/deploy/test_deploy.py::test_the_chart_renders_with_everything_on"
    ),
    Not("make install", "needs the package registry; .ci/run begins with it in a fresh clone"),
    Not(r"\. \.venv/bin/activate", "changes a shell, and nothing else"),
    Not("make (check|test|soak)", "this very test would run in it"),
    Not("VECTORS_DIR=.* -m pytest -m vectors", "the same tests are part of this run"),
    Not("make bench.*", "takes minutes; tests/tidy and mypy read what it runs"),
)


def ways_of(line: str) -> list[Here | Serves | Elsewhere | Not]:
    """The rows that are about a line."""
    return [
        way
        for way in WAYS
        if (
            way.line == line
            if isinstance(way, Here | Serves)
            else re.fullmatch(way.pattern, line) is not None
        )
    ]
