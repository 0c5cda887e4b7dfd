"""Every installed transport keeps the promises of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relayminer.config.entrance import TlsSettings
from relayminer.net.tls import ClientTls, client_context
from relayminer.plugin import load_transports
from relayminer.testing.certificates import Authority
from relayminer.testing.conformance import CHECKS, Check
from relayminer.testing.http_driver import HttpDriver
from relayminer.testing.stand import LocalStands
from tests.conformance.http2_driver import GrpcDriver, GrpcWebDriver, Http2Driver
from tests.conformance.tls_driver import TlsDriver
from tests.conformance.websocket_driver import WebSocketDriver

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.testing.driver import TransportDriver

pytestmark = pytest.mark.conformance

# What each transport speaks, and who plays the client.
DRIVERS: dict[str, tuple[TransportDriver, ...]] = {
    "http": (HttpDriver(),),
    "websocket": (WebSocketDriver(),),
    "grpc": (Http2Driver(), GrpcDriver(), GrpcWebDriver()),
}
ACCOUNTS = {
    "the_budget_is_kept",
    "the_same_signed_relay_makes_one_leaf_per_answer",
    "what_was_served_is_what_was_metered",
}
"""Checks of what becomes of a relay when its connection is of no account any more."""
INSTALLED = [transport.name for transport in load_transports()]


def test_every_transport_has_a_driver() -> None:
    """A transport that nobody drives is one that nobody has tried."""
    assert not [name for name in INSTALLED if name not in DRIVERS]


@pytest.mark.parametrize(
    "driver",
    [driver for name in INSTALLED for driver in DRIVERS.get(name, ())],
    ids=lambda driver: driver.name,
)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_transport(check: Check, driver: TransportDriver, *, soak: bool) -> None:
    """The check holds, with every other transport behind the same door."""
    await check(LocalStands(driver, soak=soak))


@pytest.mark.parametrize(
    "check",
    [check for check in CHECKS if check.__name__ not in ACCOUNTS],
    ids=lambda check: check.__name__,
)
async def test_http_inside_tls(check: Check, tmp_path: Path) -> None:
    """Nothing that TLS adds between a socket and its transport takes a promise back."""
    authority = Authority(tmp_path)
    identity = authority.issue()
    driver = TlsDriver(tls=ClientTls(client_context(ca_file=authority.file)))
    tls = TlsSettings(certificate=identity.certificate, key=identity.key)
    await check(LocalStands(driver, tls=tls))
