"""One row for each key of a foreign file, and the walk that applies them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from relayminer.config.document import Document, Place, dotted
from relayminer.config.errors import Problem, problem
from relayminer.config.structure import UnfitValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relayminer.config.document import Key

ANY: Final = "*"
"""In a row's key: a name that the operator chose."""


class Unset:
    """What a conversion answers for a value that means our default."""


UNSET: Final = Unset()


@frozen
class Row:
    """What becomes of one key.

    Attributes:
        key: dotted, `*` for a name of the operator's.
        to: ours, its `*` taken in order; empty when we have no such setting.
        convert: the value for ours; `UNSET` for our default; raises UnfitValueError.
        note: what holds instead, when that is not simply the same.
    """

    key: str
    to: str = ""
    convert: Callable[[Any], Any] | None = None
    note: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The key in its steps."""
        return tuple(self.key.split("."))


@frozen
class Note:
    """What an operator should know of one value.

    Attributes:
        place: where it was written.
        key: our setting, as a path; empty when there is none.
        text: what holds.
    """

    place: Place
    key: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.place.name}: {self.text}"


@define
class Translation:
    """A foreign document, being turned into one of ours.

    Attributes:
        source: what was read.
        document: ours.
        notes: in the order of the file.
        problems: what cannot be used.
    """

    source: Document
    document: Document
    notes: list[Note] = field(factory=list)
    problems: list[Problem] = field(factory=list)

    def place(self, key: Key) -> Place:
        """Where a key of the foreign file was written."""
        return self.source.place_of(key)

    def put(self, key: tuple[str, ...], value: object, place: Place) -> None:
        """Set one of our settings."""
        level = self.document.values
        for parent in key[:-1]:
            level = level.setdefault(parent, {})
        level[key[-1]] = value
        self.document.places[key] = place

    def default(self, path: str, value: object, text: str = "") -> None:
        """Set one of ours that the file leaves to the other implementation's default."""
        key = tuple(path.split("."))
        level: Any = self.document.values
        for part in key:
            level = level.get(part) if isinstance(level, dict) else None
        if level is None:
            place = Place(self.source.source, 0, f"({path})")
            self.put(key, value, place)
            if text:
                self.note(place, key, text)

    def missing(self, key: tuple[str, ...]) -> None:
        """A key that has to be there."""
        place = self.place(key)
        self.problems.append(
            problem(dotted(key), None, "missing", "add it", source=place.source, line=place.line)
        )

    def note(self, place: Place, key: tuple[str, ...], text: str) -> None:
        """Tell the operator something."""
        self.notes.append(Note(place, key, text))

    def found(self, path: str) -> Any:
        """What the foreign file says, None when it says nothing."""
        level: Any = self.source.values
        for part in path.split("."):
            level = level.get(part) if isinstance(level, dict) else None
        return level


def translate(source: Document, rows: Iterable[Row]) -> Translation:
    """Apply the rows to a document; what no row names is a problem."""
    translation = Translation(source, Document(source.source))
    tree: dict[str, Any] = {}
    for row in rows:
        level = tree
        for part in row.parts[:-1]:
            level = level.setdefault(part, {})
        level[row.parts[-1]] = row
    _walk(translation, tree, source.values, ())
    return translation


def _walk(
    translation: Translation, tree: dict[str, Any], values: dict[str, Any], above: tuple[str, ...]
) -> None:
    for name, value in values.items():
        key = (*above, name)
        branch = tree.get(name, tree.get(ANY))
        if isinstance(branch, Row):
            _apply(translation, branch, key, value)
        elif branch is None:
            translation.problems.append(_unknown(translation, key, tree))
        elif isinstance(value, dict):
            _walk(translation, branch, value, key)
        else:
            place = translation.place(key)
            translation.problems.append(
                problem(
                    dotted(key),
                    value,
                    "not a mapping",
                    "indent its settings below it",
                    source=place.source,
                    line=place.line,
                )
            )


def _apply(translation: Translation, row: Row, key: tuple[str, ...], value: object) -> None:
    place = translation.place(key)
    ours = _named(row, key)
    if ours:
        try:
            converted = value if row.convert is None else row.convert(value)
        except UnfitValueError as unfit:
            translation.problems.append(
                problem(
                    dotted(key),
                    unfit.value,
                    unfit.reason,
                    unfit.fix,
                    source=place.source,
                    line=place.line,
                )
            )
            return
        if not isinstance(converted, Unset):
            translation.put(ours, converted, place)
    if row.note:
        translation.note(place, ours, row.note)


def _named(row: Row, key: tuple[str, ...]) -> tuple[str, ...]:
    if not row.to:
        return ()
    names = iter(part for pattern, part in zip(row.parts, key, strict=True) if pattern == ANY)
    return tuple(next(names) if part == ANY else part for part in row.to.split("."))


def _unknown(translation: Translation, key: tuple[str, ...], tree: dict[str, Any]) -> Problem:
    place = translation.place(key)
    known = [name for name in tree if name != ANY]
    near = get_close_matches(key[-1], known, n=1, cutoff=0.6)
    fix = f"did you mean `{near[0]}`?" if near else "known here: " + ", ".join(known)
    return problem(dotted(key), None, "unknown setting", fix, source=place.source, line=place.line)


_GO_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def go_duration(value: object) -> float | Unset:
    """Seconds of `1h30m`; the other implementation takes its default for 0 and less.

    Raises:
        UnfitValueError: it is none.
    """
    if value == 0:
        return UNSET
    text = str(value).strip()
    steps = _GO_DURATION.findall(text)
    if isinstance(value, str) and steps and "".join(steps) == text:
        seconds = 0.0
        for step in steps:
            number = step.rstrip("nuµmsh")
            seconds += float(number) * _UNIT_SECONDS[step[len(number) :]]
        return seconds or UNSET
    raise UnfitValueError(value, "not a time", 'write it as "2h" or "1h30m"')


def above_zero(value: object) -> object:
    """As it is; 0 and less mean the default."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
        return UNSET
    return value


def not_empty(value: object) -> object:
    """As it is; an empty text means the default."""
    return UNSET if value == "" else value


def address(value: object) -> object:
    """`:9092` is every address of this machine."""
    if isinstance(value, str) and value.startswith(":"):
        return "0.0.0.0" + value  # noqa: S104 - what the file says in its own way
    return value
