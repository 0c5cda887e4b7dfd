"""Keeping secrets of a configuration out of messages, logs and reprs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"
MAX_SHOWN_CHARACTERS = 80

_SECRET_NAME = re.compile(
    r"(?:password|passphrase|webhook_url|token|secret|private|mnemonic|authorization|api_?-?key|cookie)"
    r"(?!_file)",
    re.IGNORECASE,
)
_LONG_HEX = re.compile(r"[0-9a-fA-F]{32,}")
# Greedy up to the last @: a password may have one itself.
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?[^/?#\s]*@")
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&][^=&\s]*(?:key|token|password|secret|auth)[^=&\s]*=)[^&\s]+", re.IGNORECASE
)


def masked_url(url: str) -> str:
    """`url` without its password, or what else in it lets somebody in."""
    without_user = _CREDENTIALS.sub(lambda found: f"{found['scheme'] or ''}{MASK}@", url, count=1)
    return _QUERY_SECRET.sub(lambda found: found["name"] + MASK, without_user)


def masked_url_repr(url: str) -> str:
    """For attrs: the repr of a field that holds a URL."""
    return repr(masked_url(url))


def masked_urls_repr(urls: Sequence[str]) -> str:
    """For attrs: the repr of a field that holds URLs."""
    return repr(tuple(masked_url(url) for url in urls))


def masked_headers_repr(headers: Mapping[str, str]) -> str:
    """For attrs: names only; a header's value is often a key."""
    return "{" + ", ".join(f"{name!r}: {MASK!r}" for name in headers) + "}"


def masked_value(key: str, value: Any) -> str:
    """`value` of the setting `key` as it may be shown, cut to a readable length."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "{...}" if value else "{}"
    if isinstance(value, list | tuple):
        return "[...]" if value else "[]"
    if any(_SECRET_NAME.search(part) for part in key.split(".")) or ".headers." in f"{key}.":
        return MASK
    text = _LONG_HEX.sub(MASK, masked_url(str(value)))
    if len(text) > MAX_SHOWN_CHARACTERS:
        text = text[:MAX_SHOWN_CHARACTERS] + "..."
    return repr(text) if isinstance(value, str) else text
