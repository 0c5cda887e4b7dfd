"""Settings of the notices that a process sends to a person."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from relayminer.config.complaint import Complaint
from relayminer.config.masking import MASK, masked_headers_repr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIELDS: Final = ("status", "severity", "event", "subject", "text", "process", "time")
"""What a template may name."""
PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w*)\s*\}\}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _masked_repr(text: str) -> str:
    return repr(MASK if text else "")


@frozen(kw_only=True)
class NotifySettings:
    """Notices by webhook: money lost or at risk, fees, the chain's nodes, store, loops."""

    webhook_url: str = field(default="", repr=_masked_repr)
    """Where they are posted; empty: nowhere. Often a secret as a whole, so never shown."""
    headers: dict[str, str] = field(factory=dict, repr=masked_headers_repr)
    template: str = '{"text": "[{{severity}} {{status}}] {{event}} {{subject}}: {{text}}"}'
    """The body; `{{name}}` stands for a field. In JSON what is put in is escaped."""
    min_interval_seconds: float = 300.0
    """Between two notices about the same thing; what happens meanwhile is told with the next."""
    max_per_hour: int = 30
    """Of all notices; further ones wait."""
    timeout_seconds: float = 10.0
    """For one notice to be taken."""
    at_risk_seconds: float = 300.0
    """How long money of an open window may be missing on chain before that is told."""


def check_notify(settings: NotifySettings) -> Iterator[Complaint]:
    """The address can be posted to, and the template says what can be said."""
    if settings.webhook_url and not _is_http(settings.webhook_url):
        yield Complaint(
            ("notify", "webhook_url"), MASK, "not an address", "write https://host/path"
        )
    for name in ("min_interval_seconds", "max_per_hour", "timeout_seconds"):
        if not getattr(settings, name):
            yield Complaint(("notify", name), 0, "0 would stop everything", "write more than 0")
    for name in settings.headers:
        if not _HEADER.fullmatch(name):
            yield Complaint(
                ("notify", "headers", name), MASK, "no name of a header", "write a token"
            )
    unknown = [name for name in PLACEHOLDER.findall(settings.template) if name not in FIELDS]
    if unknown:
        yield Complaint(
            ("notify", "template"),
            unknown[0],
            "no field of that name",
            f"write one of {', '.join(FIELDS)}",
        )
    elif is_json(settings.template):
        try:
            json.loads(filled(settings.template, dict.fromkeys(FIELDS, "")))
        except ValueError as error:
            yield Complaint(
                ("notify", "template"), settings.template, f"no JSON: {error}", "mend it"
            )


def is_json(template: str) -> bool:
    """Whether a template is meant to be JSON."""
    return template.lstrip().startswith(("{", "[")) and not PLACEHOLDER.match(template.lstrip())


def filled(template: str, fields: Mapping[str, str]) -> str:
    """The body; what is put into JSON is written as JSON writes it."""
    escape = is_json(template)

    def value(found: re.Match[str]) -> str:
        text = fields[found[1]]
        return json.dumps(text)[1:-1] if escape else text

    return PLACEHOLDER.sub(value, template)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
