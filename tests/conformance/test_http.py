"""HTTP/1.1 keeps the promises of a transport."""

from __future__ import annotations

import pytest

from relayminer.testing.conformance import CHECKS, Check
from relayminer.testing.http_driver import HttpDriver
from relayminer.testing.stand import LocalStands


@pytest.mark.conformance
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_http(check: Check, *, soak: bool) -> None:
    """Every check holds over HTTP/1.1."""
    await check(LocalStands(HttpDriver(), soak=soak))
