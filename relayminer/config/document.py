"""A YAML document as plain values, with the line of every key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from attrs import field, frozen

from relayminer.config.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 32
"""Deeper nesting is no configuration of ours."""

Key = tuple[str | int, ...]


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
class Document:
    """One parsed file.

    Attributes:
        source: how messages call it.
        values: mappings, lists and scalars; keys without a value are left out.
        lines: line of each key, by its path.
    """

    source: str
    values: dict[str, Any] = field(factory=dict, repr=False)
    lines: dict[Key, int] = field(factory=dict, repr=False)

    def line_of(self, key: Key) -> int:
        """The line of `key`, or of the nearest key above it; 0 when there is none."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 0)


def read_document(path: Path) -> Document:
    """Parse the YAML file at `path`.

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
    return parse_document(text, source)


def parse_document(text: bytes | str, source: str) -> Document:
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
    reader = _Reader(document)
    document.values.update(reader.value(root, ()))
    if reader.problems:
        raise ConfigError(reader.problems)
    return document


def _refused(source: str, line: int, reason: str, fix: str) -> ConfigError:
    return ConfigError([Problem(source, line, "(file)", "", reason, fix)])


class _Reader:
    """Turns nodes into values, noting lines, and keys that come twice."""

    def __init__(self, document: Document) -> None:
        self._document = document
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
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._complain(node, path, f"a value of type {node.tag}", "write a plain value")
            return None

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
            self._document.lines[*path, key] = seen[key]
            value = self.value(value_node, (*path, key))
            # A key with nothing behind it, all of its lines commented out, means the defaults.
            if value is not None:
                yield key, value

    def _noted(self, node: yaml.Node, path: Key) -> Any:
        self._document.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

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
