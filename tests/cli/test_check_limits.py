"""`relayminer check` compares the limit of open files with what the configuration can use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relayminer.cli.checks.limits import OWN_FILES, check_open_files, wanted_files
from relayminer.config.settings import (
    BackendSettings,
    EndpointSettings,
    RelayerSettings,
    ServiceSettings,
    Settings,
)
from relayminer.net.descriptors import UNLIMITED
from tests.cli.command import ENVIRONMENT


def node(**backends: BackendSettings) -> Settings:
    """A relayer of one service whose pools have 50 connections."""
    service = ServiceSettings(backends=backends, max_connections=50)
    relayer = RelayerSettings(max_connections=1_000, services={"svc": service})
    return Settings(relayer=relayer)


def test_clients_pools_and_conversations_are_counted() -> None:
    """Every endpoint has a pool; a conversation has a connection on both sides."""
    two = (EndpointSettings(url="http://a"), EndpointSettings(url="http://b"))
    settings = node(jsonrpc=BackendSettings(urls=two), rest=BackendSettings(url="http://c"))
    assert sum(wanted_files(settings.relayer).values()) == 1_000 + 3 * 50
    settings = node(websocket=BackendSettings(url="ws://a"))
    assert sum(wanted_files(settings.relayer).values()) == 2 * 1_000


@pytest.mark.parametrize(
    ("allowed", "result"),
    [
        (UNLIMITED, "ok"),
        (1_050 + OWN_FILES, "ok"),
        (1_049 + OWN_FILES, "warn"),
        (255, "fail"),
    ],
)
def test_the_limit_is_compared(allowed: int, result: str) -> None:
    """Too few for the start fails; too few for the worst is a warning, and says the number."""
    finding = check_open_files(node(rest=BackendSettings(url="http://c")), allowed)
    assert finding.result == result
    if result != "ok":
        assert f"LimitNOFILE={1_050 + OWN_FILES}" in finding.remedy


def test_a_miner_alone_needs_few() -> None:
    """Without services there are neither clients nor backends."""
    assert check_open_files(Settings(), 1_024).result == "ok"


def test_run_takes_what_it_is_allowed() -> None:
    """A soft limit as shells set it is raised to the hard one, of a process of its own."""
    program = (
        "import resource; from relayminer.net.descriptors import *;"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1];"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard));"
        "assert raise_open_files_limit() == hard == open_files_limit()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=ENVIRONMENT)
