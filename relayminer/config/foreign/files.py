"""Reading foreign files, alone or the two of one operator together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from relayminer.config.document import Document, read_document
from relayminer.config.errors import ConfigError, Problem
from relayminer.config.foreign import miner_file, relayer_file
from relayminer.config.foreign.rows import Note, translate
from relayminer.config.load import settle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relayminer.config.document import Key
    from relayminer.config.settings import Settings

RELAYER = "relayer"
MINER = "miner"
_FILES = {RELAYER: relayer_file, MINER: miner_file}
_OWN = {
    RELAYER: ("relayer", "control"),
    MINER: ("miner", "transactions"),
}
"""Of sections that both files have, whose say counts."""


@frozen
class Imported:
    """What foreign files come to.

    Attributes:
        settings: ours.
        document: what was written, in our names, with its places.
        notes: what holds otherwise than it did there, in the order of the files.
    """

    settings: Settings
    document: Document = field(repr=False)
    notes: tuple[Note, ...] = ()


def load_foreign(
    kind: str,
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Imported:
    """The settings of one foreign file.

    Args:
        kind: `RELAYER` or `MINER`.
        path: the file.
        overrides: as for `relayminer.config.load.load`.
        environ: as there.

    Raises:
        ConfigError: with everything that is wrong.
    """
    return imported({kind: path}, overrides, environ)


def imported(
    paths: Mapping[str, Path],
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Imported:
    """The settings of the relayer's file, the miner's, or both together.

    Relative paths count from the directory of the first file.

    Raises:
        ConfigError: with everything that is wrong.
    """
    notes: list[Note] = []
    problems: list[Problem] = []
    documents: dict[str, Document] = {}
    for kind, path in paths.items():
        translation = translate(read_document(path, environ), _FILES[kind].ROWS)
        _FILES[kind].finish(translation)
        notes.extend(sorted(translation.notes, key=lambda note: note.place.line))
        problems.extend(translation.problems)
        documents[kind] = translation.document
    document = next(iter(documents.values()))
    for kind, other in documents.items():
        if other is not document:
            notes.extend(_merge(document, other, kind))
    first = next(iter(paths.values()))
    try:
        loaded = settle(document, first, overrides, environ)
    except ConfigError as error:
        raise ConfigError(_in_order([*problems, *error.problems])) from None
    if problems:
        raise ConfigError(_in_order(problems))
    return Imported(loaded.settings, loaded.document, tuple(notes))


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda one: (one.source, one.line))


def _merge(document: Document, other: Document, kind: str) -> list[Note]:
    """Put what a second file says beside the first; where they differ, say whose counts."""
    notes = []
    for key in _leaves(other.values):
        value = _value(other.values, key)
        there = _value(document.values, key)
        place = other.place_of(key)
        if there is None:
            document.places[key] = place
            _put(document.values, key, value)
        elif there != value:
            wins = key[0] in _OWN[kind]
            first = document.place_of(key)
            told, kept = (first, place) if wins else (place, first)
            notes.append(Note(told, key, f"{kept} says otherwise, and counts"))
            if wins:
                document.places[key] = place
                _put(document.values, key, value)
    return notes


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            keys.extend(_leaves(value, (*above, name)))
        else:
            keys.append((*above, name))
    return keys


def _value(values: Any, key: Key) -> Any:
    for part in key:
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    for part in key[:-1]:
        values = values.setdefault(part, {})
    values[key[-1]] = value
