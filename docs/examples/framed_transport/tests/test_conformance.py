"""What a transport's own tests look like: the whole suite over an in-process relayer."""

from __future__ import annotations

import pytest
from framed_driver import FramedDriver
from relayminer_framed.transport import FramedTransport

from relayminer.testing.conformance import CHECKS, Check
from relayminer.testing.stand import LocalStands


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_framed(check: Check) -> None:
    """The promises of a transport hold."""
    await check(LocalStands(FramedDriver(), transports=[FramedTransport()]))
