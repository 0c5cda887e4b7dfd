"""Options and fixtures for all tests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

# A command that a test runs in this process sets up logs as it does in its own. Loggers are
# looked up each time here: one that keeps what it found would take that into the next tests.
structlog.configure = partial(structlog.configure, cache_logger_on_first_use=False)
# Without local variables: to show those of a deep traceback stops the loop for seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak` runs the full counts that an issue names; without it they are reduced."""
    parser.addoption("--soak", action="store_true", help="run with the full counts")
    parser.addoption(
        "--screenshots", action="store_true", help="browser tests write docs/images anew"
    )

    parser.addoption(
        "--write-docs", action="store_true", help="tests write generated documents anew"
    )


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the full counts are wanted."""
    return bool(request.config.getoption("--soak"))
