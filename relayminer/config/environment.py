"""Settings from the environment: `RELAYMINER_REDIS__URL` is `redis.url`."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, get_type_hints

import attrs

from relayminer.config.document import Document, Place, parse_document
from relayminer.config.errors import ConfigError, Problem
from relayminer.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relayminer.config.document import Key

PREFIX = "RELAYMINER_"
SEPARATOR = "__"
ENVIRONMENT = "environment"

_MISTYPED = 0.92
"""How alike a name without our separator has to be to that of a setting."""


def variable_name(key: Key) -> str:
    """The variable that sets `key`: `("redis", "url")` -> `RELAYMINER_REDIS__URL`."""
    return PREFIX + SEPARATOR.join(str(part) for part in key).upper()


def setting_keys(kind: type = Settings, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting that has one fixed path; what is kept by a name of the operator's is not."""
    hints = get_type_hints(kind)
    for attribute in attrs.fields(kind):
        inner = _section(hints[attribute.name])
        if inner is not None:
            yield from setting_keys(inner, (*above, attribute.name))
        elif not _keyed_by_name(hints[attribute.name]):
            yield (*above, attribute.name)


def read_environment(document: Document, environ: Mapping[str, str]) -> None:
    """Put what the environment says over what a document says.

    A value is read as it would be in a file: `5`, `true`, `[a, b]`, or text.

    Raises:
        ConfigError: a variable with our prefix that names no setting, or is no YAML.
    """
    known = {variable_name(key): key for key in setting_keys()}
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        key = known.get(name)
        if key is None:
            if _is_meant_as_setting(name, known):
                problems.append(_unknown(name, known))
            continue
        try:
            value = _value(name, environ[name])
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        put(document, key, value, Place(ENVIRONMENT, 0, name))
    if problems:
        raise ConfigError(problems)


def put(document: Document, key: tuple[str, ...], value: object, place: Place) -> None:
    """Set one value of a document, whatever was there."""
    *parents, last = key
    level = document.values
    for parent in parents:
        if not isinstance(level.get(parent), dict):
            level[parent] = {}
        level = level[parent]
    level[last] = value
    document.places[key] = place


def _value(name: str, text: str) -> object:
    if not text.strip():
        return text
    value = parse_document("value: " + text.replace("\n", " "), ENVIRONMENT).values.get("value")
    if isinstance(value, dict):
        reason, fix = "a mapping", "set its settings one by one"
        raise ConfigError([Problem(ENVIRONMENT, 0, name, "", reason, fix)])
    return text if value is None else value


def _is_meant_as_setting(name: str, known: Mapping[str, object]) -> bool:
    """Whether a name is a setting's, mistyped.

    Others share the prefix: keys of `relayminer relay`, and what Kubernetes puts in the
    environment for a service that is called relayminer.
    """
    return SEPARATOR in name or bool(get_close_matches(name, known, n=1, cutoff=_MISTYPED))


def _unknown(name: str, known: Mapping[str, object]) -> Problem:
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    fix = f"did you mean {near[0]}?" if near else "unset it, or write the setting to the file"
    if name.startswith(variable_name(("relayer", "services"))):
        fix = "services are set in the file only"
    return Problem(ENVIRONMENT, 0, name, "", "no setting of this name", fix)


def _section(hint: object) -> type | None:
    """The settings type behind a hint, also behind `X | None`."""
    kinds = [hint, *getattr(hint, "__args__", ())]
    if getattr(hint, "__origin__", None) is not None:
        return None
    return next((kind for kind in kinds if isinstance(kind, type) and attrs.has(kind)), None)


def _keyed_by_name(hint: object) -> bool:
    return getattr(hint, "__origin__", None) is dict
