"""Texts as Go prints them, for errors whose wording clients match on."""

from __future__ import annotations

from datetime import UTC, datetime

from relayminer.protocol.address import InvalidAddressError, decode_address

NANOSECONDS = 1_000_000_000


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


def address_problem(address: str) -> str | None:
    """Why `address` is no account address of this chain, None when it is one."""
    if not address.strip():
        return "empty address string is not allowed"
    try:
        decode_address(address)
    except InvalidAddressError as error:
        return str(error)
    return None
