"""Arguments of RPC methods from JSON and from URLs."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from relayminer.devnet.errors import RpcError
from relayminer.devnet.rpc_params import Kind, from_json, from_url

ARGUMENTS = {
    "height": Kind.HEIGHT,
    "hash": Kind.HASH,
    "tx": Kind.BYTES,
    "query": Kind.TEXT,
    "prove": Kind.FLAG,
}
ZERO = {"height": None, "hash": b"", "tx": b"", "query": "", "prove": False}
HASH = bytes(range(32))


@pytest.mark.parametrize("params", [None, {}, [], {"other": 1}, {"height": None}])
def test_missing_is_zero(params: Any) -> None:
    """Arguments that are not given are zero values, as in Go."""
    assert from_json(ARGUMENTS, params) == ZERO


def test_json_forms() -> None:
    """Integers are strings, bytes base64; a hash may be base64 or hex."""
    params = {
        "height": "7",
        "hash": base64.b64encode(HASH).decode(),
        "tx": base64.b64encode(b"tx").decode(),
        "query": "a='b'",
        "prove": True,
    }
    expected = {"height": 7, "hash": HASH, "tx": b"tx", "query": "a='b'", "prove": True}
    assert from_json(ARGUMENTS, params) == expected
    assert from_json(ARGUMENTS, list(params.values())) == expected
    assert from_json({"hash": Kind.HASH}, {"hash": HASH.hex().upper()}) == {"hash": HASH}


@pytest.mark.parametrize(
    "params",
    [
        {"height": 7},
        {"height": "7.5"},
        {"height": "x"},
        {"tx": "!"},
        {"tx": 5},
        {"query": 5},
        {"prove": "true"},
        ["1"],
        "height",
    ],
)
def test_json_that_does_not_convert(params: Any) -> None:
    """A wrong form is error -32602; a bare number is one, as CometBFT refuses it too."""
    with pytest.raises(RpcError) as caught:
        from_json(ARGUMENTS, params)
    assert caught.value.code == -32602


def test_url_forms() -> None:
    """URLs take bare or quoted integers, hex bytes or quoted text."""
    assert from_url(ARGUMENTS, {}) == ZERO
    query = {
        "height": "7",
        "hash": "0x" + HASH.hex(),
        "tx": '"abc"',
        "query": "\"tm.event='Tx'\"",
        "prove": "true",
    }
    expected = {"height": 7, "hash": HASH, "tx": b"abc", "query": "tm.event='Tx'", "prove": True}
    assert from_url(ARGUMENTS, query) == expected
    assert from_url({"height": Kind.HEIGHT}, {"height": '"7"'}) == {"height": 7}
    assert from_url({"tx": Kind.BYTES}, {"tx": "0x0a0b"}) == {"tx": b"\x0a\x0b"}


@pytest.mark.parametrize(
    "query", [{"height": "x"}, {"hash": "zz"}, {"tx": "0xz"}, {"prove": "maybe"}]
)
def test_url_that_does_not_convert(query: dict[str, str]) -> None:
    """A wrong form is error -32602 here too."""
    with pytest.raises(RpcError) as caught:
        from_url(ARGUMENTS, query)
    assert caught.value.code == -32602
