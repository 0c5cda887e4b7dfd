"""A YAML document as plain values, with the line of every key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from attrs import field, frozen

from relayminer.config.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32
"""Deeper nesting is no configuration of ours."""

Key = tuple[str | int, ...]


_VARIABLE = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
)
"""`${NAME}`, `${NAME:-default}`; `$${` is a plain `${`."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 where it matters: `yes`, `no`, `on`, `off` are words, and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":bool", ":timestamp", ":merge"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)


@frozen
class Place:
    """Where a value was written.

    Attributes:
        source: a file, `environment` or `command line`.
        line: in the file, 1 is the first; 0 when there is none.
        name: what the setting is called there.
    """

    source: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@frozen
class Document:
    """Settings as they were written, in a file and around it.

    Attributes:
        source: how messages call it.
        values: mappings, lists and scalars; keys without a value are left out.
        places: where each key was written, by its path here.
    """

    source: str
    values: dict[str, Any] = field(factory=dict, repr=False)
    places: dict[Key, Place] = field(factory=dict, repr=False)

    def place_of(self, key: Key) -> Place:
        """Where `key` was written, or the nearest key above it."""
        above = key
        while above and above not in self.places:
            above = above[:-1]
        if not above:
            return self._place_of_section(key)
        place = self.places[above]
        name = dotted(key) if place.name == dotted(above) else place.name
        return Place(place.source, place.line, name)

    def _place_of_section(self, key: Key) -> Place:
        """Where the first setting of a section was written."""
        for inner, place in self.places.items():
            if inner[: len(key)] == key:
                steps = place.name.split(".")
                name = ".".join(steps[: len(steps) - (len(inner) - len(key))])
                return Place(place.source, place.line, name or dotted(key))
        return Place(self.source, 0, dotted(key))


def read_document(path: Path, environ: Mapping[str, str] | None = None) -> Document:
    """Parse the YAML file at `path`.

    Args:
        path: of the file.
        environ: where `${NAME}` in values is looked up; None leaves such text as it is.

    Raises:
        ConfigError: it cannot be read, is no YAML, has a key twice, or is not a mapping.
    """
    source = str(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _refused(source, 0, f"more than {MAX_FILE_BYTES} bytes", "name the right file")
        text = path.read_bytes()
    except OSError as error:
        raise _refused(
            source, 0, error.strerror or str(error), "name a file that can be read"
        ) from None
    return parse_document(text, source, environ)


def parse_document(
    text: bytes | str, source: str, environ: Mapping[str, str] | None = None
) -> Document:
    """Parse YAML text.

    Raises:
        ConfigError: as `read_document`.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        reason = f"not valid YAML: {error.problem or error.context}"
        raise _refused(source, line, reason, "check the indentation and quotes there") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise _refused(source, 0, "not valid YAML", "write it as UTF-8 text") from None
    document = Document(source)
    if root is None:
        return document
    if not isinstance(root, yaml.MappingNode):
        raise _refused(source, 1, "not a mapping of settings", "start with lines like `redis:`")
    reader = _Reader(document, environ)
    document.values.update(reader.value(root, ()))
    if reader.problems:
        raise ConfigError(reader.problems)
    return document


def _refused(source: str, line: int, reason: str, fix: str) -> ConfigError:
    return ConfigError([Problem(source, line, "(file)", "", reason, fix)])


class _Reader:
    """Turns nodes into values, noting lines, and keys that come twice."""

    def __init__(self, document: Document, environ: Mapping[str, str] | None) -> None:
        self._document = document
        self._environ = environ
        self._scalars = _Loader("")
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Key) -> Any:
        """The value of `node`."""
        if len(path) > MAX_DEPTH:
            self._complain(node, path, "nested too deeply", "undo the nesting")
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._noted(child, (*path, index)) for index, child in enumerate(node.value)]
        try:
            return self._scalars.construct_object(self._filled_in(node, path))
        except (yaml.YAMLError, ValueError):
            self._complain(node, path, f"a value of type {node.tag}", "write a plain value")
            return None

    def _filled_in(self, node: yaml.Node, path: Key) -> yaml.Node:
        """The node with `${NAME}` replaced; without quotes, it may become a number or a flag."""
        if self._environ is None or not isinstance(node, yaml.ScalarNode):
            return node
        if "${" not in node.value:
            return node

        def found(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            value = (self._environ or {}).get(match["name"], match["default"])
            if value is None:
                fix = f"export it, or write ${{{match['name']}:-a default}}"
                self._complain(node, path, f"no variable {match['name']} in the environment", fix)
            return value or ""

        text = _VARIABLE.sub(found, node.value)
        tag = node.tag
        if node.style is None:
            # Composed once more, because what it is depends on what was filled in.
            composed = yaml.compose(text, Loader=_Loader)
            if isinstance(composed, yaml.ScalarNode):
                tag = composed.tag
        return yaml.ScalarNode(tag, text, node.start_mark, node.end_mark, node.style)

    def _items(self, node: yaml.MappingNode, path: Key) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, path, "a key that is no text", "write a plain name")
                continue
            # As written: a service may be called 0x1 or 1e5.
            key = key_node.value
            if key in seen:
                reason = f"given twice, first in line {seen[key]}"
                self._complain(key_node, (*path, key), reason, "keep one of them")
                continue
            seen[key] = key_node.start_mark.line + 1
            self._note((*path, key), seen[key])
            value = self.value(value_node, (*path, key))
            # A key with nothing behind it, all of its lines commented out, means the defaults.
            if value is not None:
                yield key, value

    def _noted(self, node: yaml.Node, path: Key) -> Any:
        self._note(path, node.start_mark.line + 1)
        return self.value(node, path)

    def _note(self, path: Key, line: int) -> None:
        self._document.places[path] = Place(self._document.source, line, dotted(path))

    def _complain(self, node: yaml.Node, path: Key, reason: str, fix: str) -> None:
        line = node.start_mark.line + 1
        self.problems.append(
            Problem(self._document.source, line, dotted(path) or "(file)", "", reason, fix)
        )


def dotted(key: Key) -> str:
    """`a.b[0].c` of a path."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
