"""A real node for the tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import Node, running_node

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 2.0
"""Of the node's clients: for the head of a request, and for its body."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all cases of a module: what one does to it, the next would feel."""
    with running_node(
        tmp_path_factory.mktemp("node"),
        header_timeout_seconds=TIMEOUT_SECONDS,
        body_timeout_seconds=TIMEOUT_SECONDS,
    ) as running:
        yield running
