"""Writing what was imported as one file of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relayminer.config.foreign.files import Imported
    from relayminer.config.foreign.rows import Note

_HEAD = """\
# Written by `relayminer config import`. config/relayminer.example.yaml explains every setting.
#
# Look it over, then:  relayminer check --config THIS-FILE
"""


def written(imported: Imported) -> str:
    """The text of a configuration file, with a comment where a value changed its meaning."""
    about: dict[tuple[str, ...], list[Note]] = {}
    homeless = []
    for note in imported.notes:
        if note.key:
            about.setdefault(note.key, []).append(note)
        else:
            homeless.append(note)
    lines = [_HEAD]
    if homeless:
        lines.append("# What has no place here:")
        lines.extend(f"#   {line}" for line in _grouped(homeless))
        lines.append("")
    lines.extend(_section(imported.document.values, about, ()))
    return "\n".join(lines) + "\n"


def _grouped(notes: Sequence[Note]) -> Iterator[str]:
    """One line for all keys of which the same is to be said."""
    names: dict[str, list[str]] = {}
    for note in notes:
        names.setdefault(note.text, []).append(note.place.name)
    for text, keys in names.items():
        yield f"{', '.join(dict.fromkeys(keys))}: {text}"


def _section(
    values: dict[str, Any], about: dict[tuple[str, ...], list[Note]], above: tuple[str, ...]
) -> Iterator[str]:
    indent = "  " * len(above)
    for name, value in values.items():
        key = (*above, name)
        for note in about.get(key, ()):
            yield f"{indent}# {note.place.name}: {note.text}"
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(name)}:"
            yield from _section(value, about, key)
        else:
            yield f"{indent}{_scalar(name)}: {_flow(value)}"


def _scalar(value: Any) -> str:
    return _flow(value)


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = yaml.safe_dump(
        value, default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n...\n").strip()
