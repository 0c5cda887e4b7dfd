"""Settings of traces."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - cattrs reads the types
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from relayminer.config.complaint import Complaint
from relayminer.config.masking import MASK, masked_headers_repr, masked_url, masked_url_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDPOINT: Final = "http://127.0.0.1:4318/v1/traces"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]*")


@frozen(kw_only=True)
class TracingSettings:
    """OpenTelemetry traces of relays, from their admission to their claim and its settlement."""

    enabled: bool = False
    endpoint: str = field(default=_ENDPOINT, repr=masked_url_repr)
    """Where spans are posted: OTLP over HTTP, binary."""
    headers: dict[str, str] = field(factory=dict, repr=masked_headers_repr)
    """Sent along; for authentication."""
    ca_file: Path | None = None
    """Certificates to believe instead of the system's, for https."""
    service_name: str = "relayminer"
    ratio: float = 0.01
    """Share of relays that are traced; their hashes decide, so all processes want the same."""
    relays_per_session: int = 3
    """Traced relays of one session and supplier that a miner follows up to its settlement."""
    max_waiting_spans: int = 8_192
    """Not sent yet; when there are more, the oldest are dropped and counted."""
    interval_seconds: float = 1.0
    """Longest time that spans wait to be sent together."""
    timeout_seconds: float = 10.0
    """For the other side to take them."""


def check_tracing(settings: TracingSettings) -> Iterator[Complaint]:
    """Spans can be posted, and what is measured is a share."""
    yield from _check_endpoint(settings.endpoint)
    for name, value in settings.headers.items():
        if not _TOKEN.fullmatch(name) or not value.isascii() or not _VALUE.fullmatch(value):
            yield Complaint(
                ("tracing", "headers", name), MASK, "no header of HTTP", "write a token and ASCII"
            )
    if not 0 <= settings.ratio <= 1:
        yield Complaint(
            ("tracing", "ratio"), settings.ratio, "no share", "write a number from 0 to 1"
        )
    if not settings.service_name:
        yield Complaint(
            ("tracing", "service_name"), "", "traces need a name", "write one, as `relayminer`"
        )
    for name in ("max_waiting_spans", "interval_seconds", "timeout_seconds"):
        if not getattr(settings, name):
            yield Complaint(("tracing", name), 0, "0 would stop everything", "write more than 0")


def _check_endpoint(endpoint: str) -> Iterator[Complaint]:
    key, shown = ("tracing", "endpoint"), masked_url(endpoint)
    try:
        parts = urlsplit(endpoint)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        yield Complaint(key, shown, "not an address", f"write {_ENDPOINT}")
    elif "@" in parts.netloc:
        yield Complaint(
            key, shown, "a password here is not sent", "write an Authorization into tracing.headers"
        )
    elif parts.path in {"", "/"}:
        yield Complaint(key, shown, "no path", "write the whole address, mostly with /v1/traces")
