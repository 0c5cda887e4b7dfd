"""What `relay` refuses to send, and whose keys it takes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from relayminer.cli.relay_options import RelayInputError, RelayOptions, check_options
from relayminer.cli.relay_report import as_json, report
from relayminer.cli.relay_sender import LOCALNET_NODE, LOCALNET_RELAYER, sender_of
from relayminer.gateway.load import Results
from relayminer.protocol.address import address_of
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION, GATEWAY = SigningKey.from_seed(b"app"), SigningKey.from_seed(b"gateway")
APP_HEX, GATEWAY_HEX = APPLICATION.export_secret().hex(), GATEWAY.export_secret().hex()
SUPPLIER = SigningKey.from_seed(b"supplier").address
HEX_KEYS = {"app_priv_key": APP_HEX, "gateway_priv_key": GATEWAY_HEX}


def options(**words: Any) -> RelayOptions:
    """Of a JSON-RPC relay, unless told otherwise."""
    return RelayOptions(**{"mode": "jsonrpc", **words})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"service": "a b"}, "--service"),
        ({"service": "x" * 65}, "--service"),
        ({"url": "ftp://host"}, "--relayer-url"),
        ({"url": "http://user@host"}, "--relayer-url"),
        ({"url": "http://"}, "--relayer-url"),
        ({"url": "http://[::1"}, "--relayer-url"),
        ({"localnet": True, **HEX_KEYS}, "keys come from one source"),
        ({"keyring_backend": "test", "app_priv_key": APP_HEX}, "keys come from one source"),
        ({"count": 5}, "--count needs --load-test"),
        ({"rps": 5.0}, "--rps needs --load-test"),
        ({"concurrency": 5}, "--concurrency needs --load-test"),
        ({"mode": "stream", "load_test": True}, "stream sends one relay"),
        ({"mode": "stream", "count": 2}, "stream sends one relay"),
        ({"batches": 2}, "--batches is for stream"),
        ({"sim_key_id": "x"}, "--sim-key-id needs --simulate"),
        ({"simulate": True}, "--simulate needs --sim-key-id"),
        ({"simulate": True, "sim_key_id": "x"}, "--simulate needs --service"),
    ],
)
def test_what_cannot_be_meant(words: dict[str, Any], told: str) -> None:
    """The table of operations.md 1.6, a message each; no key is in any."""
    with pytest.raises(RelayInputError, match=told) as caught:
        check_options(options(**words), explicit=frozenset(words))
    assert APP_HEX not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        {"service": "develop-http", "url": "https://host:1/path"},
        {"mode": "grpc", "url": "host:50051"},
        {"load_test": True, "count": 10, "rps": 5.0, "concurrency": 100},
        {"mode": "stream", "batches": 3},
        {"mode": "cometbft", "load_test": True},
    ],
)
def test_what_can_be_meant(words: dict[str, Any]) -> None:
    """It passes."""
    check_options(options(**words), explicit=frozenset(words))


def test_keys_in_hex() -> None:
    """With or without 0x; the gateway signs, the application pays; nothing shows a key."""
    words = {"node": "n:1", "service": "s"}
    sender = sender_of(options(**words, app_priv_key=f"0x{APP_HEX}", gateway_priv_key=GATEWAY_HEX))
    assert (sender.application, sender.key.address) == (APPLICATION.address, GATEWAY.address)
    alone = sender_of(options(**words, app_priv_key=f"0X{APP_HEX}"))
    assert alone.key.address == APPLICATION.address
    assert APP_HEX not in repr(options(**HEX_KEYS)) + repr(sender)
    with pytest.raises(RelayInputError, match="--app-priv-key: 2 characters"):
        sender_of(options(**words, app_priv_key="ab"))


def test_localnet() -> None:
    """Everything is filled in, by service; what is written wins."""
    sender = sender_of(options(localnet=True))
    assert (sender.node, sender.url, sender.service) == (
        LOCALNET_NODE,
        LOCALNET_RELAYER,
        "develop-http",
    )
    assert sender.application == "pokt1mrqt5f7qh8uxs27cjm9t7v9e74a9vvdnq5jva4"
    assert sender.key.address == "pokt15vzxjqklzjtlz7lahe8z2dfe9nm5vxwwmscne4"
    streams = sender_of(
        options(localnet=True, service="develop-stream", url="http://x", node="n:1")
    )
    assert streams.application == "pokt1lqyu4v88vp8tzc86eaqr4lq8rwhssyn6rfwzex"
    assert (streams.node, streams.url) == ("n:1", "http://x")


async def test_simulated() -> None:
    """No node is asked; the session is fresh each time; the keys may be public ones only."""
    words = {"simulate": True, "sim_key_id": "k", "service": "svc", "supplier": SUPPLIER}
    sender = sender_of(options(**words, **HEX_KEYS))
    session, other = await sender.open_session(None), await sender.open_session(None)
    assert session.header.session_id.startswith("simv1:")
    assert session.header.session_id != other.header.session_id
    assert session.header.application_address == APPLICATION.address
    assert session.ring == (APPLICATION.public_key, GATEWAY.public_key)
    assert list(session.endpoints) == [SUPPLIER]
    stranger = SigningKey.from_seed(b"stranger").public_key
    pinned = sender_of(
        options(
            **words,
            gateway_priv_key=GATEWAY_HEX,
            sim_app_pubkey=stranger.hex(),
            sim_gateway_pubkeys=(GATEWAY.public_key.hex(), stranger.hex()),
        )
    )
    session = await pinned.open_session(None)
    assert session.header.application_address == address_of(stranger)
    assert session.ring == (stranger, GATEWAY.public_key, stranger)
    for bad, told in (
        ({"sim_app_pubkey": "zz", **HEX_KEYS}, "--sim-app-pubkey"),
        ({"app_priv_key": APP_HEX}, "needs the gateway's key"),
        ({"supplier": "", **HEX_KEYS}, "needs --supplier"),
    ):
        with pytest.raises(RelayInputError, match=told):
            sender_of(options(**{**words, **bad}))


def test_a_chain_needs_keys_and_names(tmp_path: Path) -> None:
    """Each missing thing is named."""
    with pytest.raises(RelayInputError, match="--node needs --keys-file"):
        sender_of(options(node="n:1"))
    with pytest.raises(RelayInputError, match="--node needs --service"):
        sender_of(options(node="n:1", **HEX_KEYS))
    with pytest.raises(RelayInputError, match="name the application"):
        sender_of(options(node="n:1", service="s", gateway_priv_key=GATEWAY_HEX))
    with pytest.raises(RelayInputError, match="keyring-test"):
        sender_of(
            options(
                node="n:1",
                service="s",
                keyring_backend="test",
                keyring_dir=tmp_path,
                app_key="alice",
            )
        )


def test_the_report_tells_all() -> None:
    """Counts, rates, percentiles, suppliers, ten kinds of errors and how many more there are."""
    results = Results(seconds=2.0)
    for number in range(90):
        results.count(f"pokt1{number % 2}", 0.01 * (number + 1), "")
    for number in range(12):
        for _ in range(number + 1):
            results.count("pokt10", 0.0, f"trouble {number}")
    shown = as_json(results)
    assert (shown["total"], shown["successful"], shown["errors"]) == (168, 90, 78)
    assert shown["success_percent"] == pytest.approx(53.5714, abs=1e-3)
    assert shown["throughput_per_second"] == 84.0
    assert shown["latency_ms"]["p50"] == pytest.approx(450, rel=0.002)
    assert shown["suppliers"]["pokt11"]["successful"] == 45
    page = StringIO()
    Console(width=140, file=page).print(report(results))
    text = page.getvalue()
    for words in ("Load Test Results", "53.57 %", "84.00 relays/s", "pokt11", "12: trouble 11"):
        assert words in text, text
    assert "and 2 more distinct messages" in text
    assert as_json(Results())["success_percent"] == 0.0
