"""The settings that hold, each with where it came from, secrets masked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from relayminer.config.masking import MASK, masked_value
from relayminer.config.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.config.document import Document
    from relayminer.config.settings import Settings

DEFAULT = "default"


@frozen
class Shown:
    """One setting that holds.

    Attributes:
        key: dotted.
        value: secrets masked.
        origin: a file with its line, `environment`, `command line` or `default`.
    """

    key: str
    value: str
    origin: str


def shown_settings(settings: Settings, document: Document) -> Iterator[Shown]:
    """Every setting that holds, and who says so."""
    yield from _shown(settings, document, ())


def _shown(value: Any, document: Document, key: tuple[str, ...]) -> Iterator[Shown]:
    if attrs.has(type(value)):
        for attribute in attrs.fields(type(value)):
            yield from _shown(getattr(value, attribute.name), document, (*key, attribute.name))
    elif isinstance(value, dict) and value and attrs.has(type(next(iter(value.values())))):
        for name, entry in value.items():
            yield from _shown(entry, document, (*key, name))
    else:
        yield Shown(".".join(key), _text(".".join(key), value), _origin(document, key))


def _text(key: str, value: Any) -> str:
    """A value as it may be shown: what is in lists and mappings, too."""
    if isinstance(value, tuple):
        text = "[" + ", ".join(_text(key, entry) for entry in value) + "]"
    elif isinstance(value, dict):
        # Values of headers are often keys.
        text = "{" + ", ".join(f"{name}: {MASK}" for name in value) + "}"
    elif isinstance(value, EndpointSettings):
        text = masked_value(key, value.url)
    elif attrs.has(type(value)):
        fields = attrs.fields(type(value))
        shown = (f"{one.name}: {_text(one.name, getattr(value, one.name))}" for one in fields)
        text = "{" + ", ".join(shown) + "}"
    elif isinstance(value, Path):
        text = str(value)
    else:
        text = masked_value(key, value).strip("'") or '""'
    return text


def _origin(document: Document, key: tuple[str, ...]) -> str:
    level: Any = document.values
    for part in key:
        if isinstance(level, list):
            break
        if not isinstance(level, dict) or part not in level:
            return DEFAULT
        level = level[part]
    place = document.place_of(key)
    renamed = place.name if place.name != ".".join(key) else ""
    return f"{place} ({renamed})" if renamed else str(place)
