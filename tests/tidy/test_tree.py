"""Sizes, banned calls and dead code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.tidy.test_layers import sources
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = ("relayminer", "plugins", "tests", "benchmarks", "scripts")
FILE_LINES = 420
FUNCTION_LINES = 70

# Calls that have no place in package code, and what to use instead.
BANNED = {
    "time.sleep": "trio.sleep, or an event",
    "os.system": "trio.run_process",
    "os.fork": "spawned processes: grpcio does not survive a fork",
    "pickle.loads": "a typed format",
    "eval": "nothing",
    "exec": "nothing",
    "asyncio.run": "trio.run",
    "random.random": "a generator passed in",
    "requests.get": "relayminer.net",
    "datetime.datetime.now": "a clock passed in",
}
MAY_PRINT = {"cli", "demo"}


def every_source() -> Iterator[Path]:
    """All Python files that people wrote."""
    for folder in FOLDERS:
        yield from sources(folder)


def test_files_stay_small() -> None:
    """A file that has become two things is two files."""
    long = [
        f"{path.relative_to(REPOSITORY)}: {lines} lines"
        for path in every_source()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    ]
    assert long == []


def test_functions_stay_small() -> None:
    """A function fits on a screen."""
    long = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
        for path in every_source()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno > FUNCTION_LINES
    ]
    assert long == []


def call_name(node: ast.Call) -> str:
    """`a.b.c` of a call to a dotted name, else an empty string."""
    parts: list[str] = []
    target: ast.expr = node.func
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    if not isinstance(target, ast.Name):
        return ""
    return ".".join([target.id, *reversed(parts)])


def test_no_banned_calls() -> None:
    """Package code blocks nothing, prints nothing, asserts nothing."""
    wrong = []
    for folder in ("relayminer", "plugins"):
        for path in sources(folder):
            where = path.relative_to(REPOSITORY)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Assert):
                    wrong.append(f"{where}:{node.lineno} assert: raise an error instead")
                if not isinstance(node, ast.Call):
                    continue
                name = call_name(node)
                if name in BANNED:
                    wrong.append(f"{where}:{node.lineno} {name}: use {BANNED[name]}")
                if name == "print" and where.parts[1] not in MAY_PRINT:
                    wrong.append(f"{where}:{node.lineno} print: use the logger")
    assert wrong == []


CALLED_BY_FRAMEWORKS = (
    "@*.command",
    "@*.group",
    "@*.route",
    "@*.get",
    "@*.post",
    "@*.websocket",
    "@pytest.fixture",
    "@*.validator",
    "@*.default",
)
# What looks unused to a reader of this tree: a pattern of vulture's line, and who uses it.
USED_ELSEWHERE = {
    r"unused method 'on_[a-z_]+'": "httptools calls its protocol's methods",
    r"'(accesslog|errorlog|graceful_timeout|websocket_ping_interval)'": "hypercorn reads them",
    r"'(pytestmark|pytest_[a-z_]+)'": "pytest reads them",
    r"'format_commands'": "click calls it",
    r"^plugins/relayminer_plugins/keys/": "found by its entry point",
    r"attribute 'overflow'": "rich reads it",
    r"^plugins/relayminer_plugins/websocket/": "trio-websocket and wsproto call their subclasses",
    r"^plugins/relayminer_plugins/grpc/(connection|outbox|streams)": "grpclib and h2 call theirs",
    r"'(_receive_goaway_frame|MAX_CLOSED_STREAMS)'": "h2 calls or reads it",
    r"'(do_POST|log_message)'": "http.server calls its handler's methods",
    r"'__call__'": "the shape of a callback",
    r"^relayminer/relayer/simulate\.py:.*'close_code'": "for transports that speak WebSocket",
    r"^plugins/relayminer_plugins/websocket/(peer|raw|stream)\.py:.*"
    r"'(_handle_|_reader_running|process_frame|_message_decoder|wait_send)": "its base calls it",
    r"^relayminer/state/(core_)?names\.py:": "the whole keyspace of the Go fleet (redis_keys.json)",
    r"^relayminer/state/(submissions|snapshots|meter)\.py:.* variable": "fields of stored records",
    r"^relayminer/protocol/events\.py:.* variable": "fields of chain events",
}


def test_no_dead_code() -> None:
    """Whatever is defined is used somewhere (tests included)."""
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "vulture",
            "--min-confidence=60",
            *FOLDERS,
            "--exclude=*_pb2.py,*_pb2.pyi",
            f"--ignore-decorators={','.join(CALLED_BY_FRAMEWORKS)}",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    dead = [
        line
        for line in found.stdout.splitlines()
        if not any(re.search(pattern, line) for pattern in USED_ELSEWHERE)
    ]
    assert dead == []
