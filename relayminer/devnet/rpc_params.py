"""Arguments of RPC methods, from a JSON-RPC `params` member or from a URL query.

The rules are CometBFT's (rpc/jsonrpc/server): in JSON a 64-bit integer is a decimal string and
bytes are base64; in a URL bytes are `0x…` or a quoted text. What is missing is the zero value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from relayminer.devnet.errors import RpcError

INVALID_PARAMS = -32602

_INTEGER = re.compile(r"-?\d{1,19}")


class Kind(Enum):
    """The Go types of arguments."""

    HEIGHT = "*int64"
    BYTES = "[]byte"
    HASH = "bytes.HexBytes"
    TEXT = "string"
    FLAG = "bool"


Arguments = Mapping[str, Kind]
"""Argument names of a method, in order, and their types."""

_ZERO: Mapping[Kind, Any] = {
    Kind.HEIGHT: None,
    Kind.BYTES: b"",
    Kind.HASH: b"",
    Kind.TEXT: "",
    Kind.FLAG: False,
}


def invalid_params(reason: str) -> RpcError:
    """The error for arguments that do not convert."""
    data = f"error converting json params to arguments: {reason}"
    return RpcError(INVALID_PARAMS, "Invalid params", data)


def from_json(arguments: Arguments, params: Any) -> dict[str, Any]:
    """Arguments from a JSON-RPC `params` member: an object, an array, or nothing.

    Raises:
        RpcError: -32602, something does not convert.
    """
    given: Mapping[str, Any]
    if params is None:
        given = {}
    elif isinstance(params, dict):
        given = params
    elif isinstance(params, list):
        if params and len(params) != len(arguments):
            raise invalid_params(f"expected {len(arguments)} parameters, got {len(params)}")
        given = dict(zip(arguments, params, strict=False))
    else:
        raise invalid_params("params must be an object or an array")
    return {
        name: _ZERO[kind] if given.get(name) is None else _json_value(kind, given[name])
        for name, kind in arguments.items()
    }


def _json_value(kind: Kind, value: Any) -> Any:
    if kind is Kind.FLAG:
        if isinstance(value, bool):
            return value
        raise invalid_params(f"expected bool, got {json.dumps(value)}")
    if not isinstance(value, str):
        if kind is Kind.HEIGHT:
            encoded = json.dumps(value)
            raise invalid_params(f'invalid 64-bit integer encoding "{encoded}", expected string')
        raise invalid_params(f"expected string, got {json.dumps(value)}")
    if kind is Kind.TEXT:
        return value
    if kind is Kind.HEIGHT:
        if not _INTEGER.fullmatch(value):
            raise invalid_params(f'invalid 64-bit integer "{value}"')
        return int(value)
    if kind is Kind.HASH and re.fullmatch(r"(0x)?[0-9A-Fa-f]{64}", value):
        # Go decodes HexBytes from base64 in JSON; clients that send hex are understood as well,
        # because 64 hex digits are never the base64 of 32 bytes.
        return bytes.fromhex(value.removeprefix("0x"))
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise invalid_params(f"illegal base64 data: {error}") from error


def from_url(arguments: Arguments, query: Mapping[str, str]) -> dict[str, Any]:
    """Arguments from a URL query.

    Raises:
        RpcError: -32602, something does not convert.
    """
    return {
        name: _url_value(kind, query[name]) if query.get(name) else _ZERO[kind]
        for name, kind in arguments.items()
    }


def _url_value(kind: Kind, raw: str) -> Any:
    quoted = len(raw) > 1 and raw[0] == raw[-1] == '"'
    text = raw[1:-1] if quoted else raw
    if kind is Kind.FLAG:
        if text not in {"true", "false"}:
            raise invalid_params(f"expected bool, got {raw}")
        return text == "true"
    if kind is Kind.HEIGHT:
        if not _INTEGER.fullmatch(text):
            raise invalid_params(f'invalid 64-bit integer "{text}"')
        return int(text)
    if kind is Kind.TEXT:
        return text
    if text.startswith("0x") or kind is Kind.HASH:
        try:
            return bytes.fromhex(text.removeprefix("0x"))
        except ValueError as error:
            raise invalid_params(f"invalid hex: {error}") from error
    return text.encode("utf-8")
