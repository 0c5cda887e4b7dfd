"""A JSON Schema of the configuration file, made from the settings, for editors."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import textwrap
import types
from itertools import pairwise
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from relayminer.config.settings import EndpointSettings, Settings
from relayminer.config.structure import DURATION_PATTERN

_SCALARS: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    Path: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {
        "oneOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": f"^{DURATION_PATTERN}$"},
        ]
    },
}


def schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of the configuration file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "relayminer.yaml",
        **_section(Settings),
    }


def _section(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    texts = attribute_docstrings(kind)
    properties = {}
    required = []
    for attribute in attrs.fields(kind):
        entry = _entry(hints[attribute.name])
        if text := texts.get(attribute.name):
            entry["description"] = text
        if attribute.default is attrs.NOTHING:
            required.append(attribute.name)
        elif (default := _default(attribute)) is not None:
            entry["default"] = default
        # A key with nothing behind it means the default.
        properties[attribute.name] = entry
    section: dict[str, Any] = {
        "type": "object",
        "description": inspect.getdoc(kind) or "",
        "additionalProperties": False,
        "properties": properties,
    }
    return {**section, "required": required} if required else section


def _default(attribute: attrs.Attribute[Any]) -> Any:
    """What the setting is without a word in the file, if a file could say it."""
    default = attribute.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return None
    plain = isinstance(default, str | bool | int | float)
    return default if plain and (not isinstance(default, float) or math.isfinite(default)) else None


def _entry(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        entry = _entry(next(one for one in arguments if one is not type(None)))
    elif origin is tuple:
        entry = {"type": "array", "items": _entry(arguments[0])}
    elif origin is dict:
        entry = {"type": "object", "additionalProperties": _entry(arguments[1])}
    elif hint is EndpointSettings:
        entry = {"oneOf": [{"type": "string"}, _section(hint)]}
    elif attrs.has(hint):
        entry = _section(hint)
    else:
        entry = copy.deepcopy(_SCALARS[hint])
    return entry


def attribute_docstrings(kind: type) -> dict[str, str]:
    """What the text below each attribute of a class says, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    texts: dict[str, str] = {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for statement, after in pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            texts[statement.target.id] = " ".join(str(after.value.value).split())
    return texts
