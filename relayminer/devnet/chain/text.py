"""Texts as Go prints them, for errors whose wording clients match on."""

from __future__ import annotations

from datetime import UTC, datetime

import bech32

from relayminer.protocol.address import ACCOUNT_PREFIX

NANOSECONDS = 1_000_000_000
BECH32_LENGTH_MIN = 8
BECH32_LENGTH_MAX = 1023
CHECKSUM_LENGTH = 6


def go_time(time_ns: int) -> str:
    """A time as Go's `Time.String` gives it in UTC: fraction without trailing zeros."""
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction} +0000 UTC"


def rfc3339(time_ns: int) -> str:
    """A time in RFC 3339 with nanoseconds, trailing zeros trimmed, in UTC."""
    seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction}Z"


def address_problem(address: str, prefix: str = ACCOUNT_PREFIX) -> str | None:
    """Why `address` is no account address of this chain, None when it is one."""
    if not address.strip():
        return "empty address string is not allowed"
    problem = _bech32_problem(address)
    if problem is not None:
        return f"decoding bech32 failed: {problem}"
    found = address.lower().rpartition("1")[0]
    if found != prefix:
        return f"invalid Bech32 prefix; expected {prefix}, got {found}"
    return None


def _bech32_problem(text: str) -> str | None:
    if not BECH32_LENGTH_MIN <= len(text) <= BECH32_LENGTH_MAX:
        return f"invalid bech32 string length {len(text)}"
    if text not in {text.lower(), text.upper()}:
        return "string not all lowercase or all uppercase"
    lowered = text.lower()
    separator = lowered.rfind("1")
    if separator < 1 or separator + CHECKSUM_LENGTH + 1 > len(lowered):
        return f"invalid separator index {separator}"
    prefix, data = lowered[:separator], lowered[separator + 1 :]
    for character in data:
        if character not in bech32.CHARSET:
            return (
                "failed converting data to bytes: invalid character not part of charset: "
                f"{ord(character)}"
            )
    values = [bech32.CHARSET.index(character) for character in data[:-CHECKSUM_LENGTH]]
    expected = "".join(
        bech32.CHARSET[value] for value in bech32.bech32_create_checksum(prefix, values)
    )
    if data[-CHECKSUM_LENGTH:] != expected:
        return f"invalid checksum (expected {expected} got {data[-CHECKSUM_LENGTH:]})"
    return None
