"""Plain values into typed settings (cattrs), with every mistake told by its path."""

from __future__ import annotations

import copy
import math
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import attrs
import cattrs
from attrs import frozen
from cattrs.cols import (
    homogenous_tuple_structure_factory,
    is_mapping,
    mapping_structure_factory,
)
from cattrs.errors import (
    AttributeValidationNote,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from relayminer.config.errors import Problem, problem
from relayminer.config.settings import EndpointSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relayminer.config.document import Document, Key

DURATION_PATTERN = r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)"
_DURATION = re.compile(DURATION_PATTERN)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

# Names of other relay miners' files, and ours for the same thing.
_FOREIGN_NAMES = {
    "pocket_node": "chain",
    "query_node_rpc_url": "chain.rpc_url",
    "query_node_grpc_url": "chain.grpc_url",
    "listen_addr": "relayer.listen",
    "default_validation_mode": "relayer.validation_mode",
    "keyring_backend": "keys.keyring.backend",
    "metrics": "control",
    "health_check": "control",
    "relay_meter": "relayer.metering",
    "response_compression": "relayer.response_compression",
    "simulation": "relayer.simulation",
    "redis_url": "redis.url",
}


class UnfitValueError(ValueError):
    """A value that is not what a setting takes.

    Attributes:
        value: as found.
        reason: why not.
        fix: what to write.
    """

    def __init__(self, value: object, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason
        self.fix = fix


def _text(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise UnfitValueError(value, f"{_kind(value)}, not a text", "put it in quotes")


def _flag(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise UnfitValueError(value, f"{_kind(value)}, neither true nor false", "write true or false")


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnfitValueError(value, f"{_kind(value)}, not a whole number", "write digits only")
    if value < 0:
        raise UnfitValueError(value, "less than 0", "write 0 or more")
    return value


def _number(value: Any, _: Any) -> float:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitValueError(
            value, f"{_kind(value)}, not a number", "write a number, or a time such as 500ms or 2m"
        )
    if not math.isfinite(value) or value < 0:
        raise UnfitValueError(value, "not a number from 0 up", "write 0 or more")
    return float(value)


def _path(value: Any, _: Any) -> Path:
    if isinstance(value, str) and value and "\x00" not in value:
        return Path(value)
    raise UnfitValueError(value, f"{_kind(value)}, not a path", "write the path of a file")


def is_homogeneous_tuple(kind: Any) -> bool:
    """Whether `kind` is `tuple[something, ...]`."""
    return getattr(kind, "__origin__", None) is tuple and kind.__args__[-1] is ...


def _kind(value: Any) -> str:
    names = {
        str: "a text" if value else "an empty text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), type(value).__name__)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    hooks = ((str, _text), (bool, _flag), (int, _whole), (float, _number), (Path, _path))
    for kind, hook in hooks:
        converter.register_structure_hook(kind, hook)

    def for_settings(kind: type) -> Callable[[Any, type], Any]:
        structure: Callable[[Any, type], Any] = make_dict_structure_fn(kind, converter)

        def hook(value: Any, kind: type) -> Any:
            if kind is EndpointSettings and isinstance(value, str):
                return EndpointSettings(url=value)
            return structure(_mapping(value), kind)

        return hook

    # A container is looked at before cattrs walks it, so that a wrong one has a clear message.
    def for_mapping(kind: Any) -> Callable[[Any, Any], Any]:
        structure = mapping_structure_factory(kind, converter)
        return lambda value, kind: structure(_mapping(value), kind)

    def for_tuple(kind: Any) -> Callable[[Any, Any], Any]:
        structure = homogenous_tuple_structure_factory(kind, converter)
        return lambda value, kind: structure(_sequence(value), kind)

    converter.register_structure_hook_factory(attrs.has, for_settings)
    converter.register_structure_hook_factory(is_mapping, for_mapping)
    converter.register_structure_hook_factory(is_homogeneous_tuple, for_tuple)
    return converter


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise UnfitValueError(value, f"{_kind(value)}, not a mapping", "indent its settings below it")


def _sequence(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise UnfitValueError(value, f"{_kind(value)}, not a list", "write a list: [a, b]")


@frozen
class Misfit:
    """A place whose value cannot be used.

    Attributes:
        key: what to take out so that the rest can be looked at.
    """

    key: Key
    problem: Problem


def structured(document: Document) -> tuple[Settings, list[Misfit]]:
    """The settings of a document, made without what cannot be used, and a list of that."""
    converter = _converter()
    values = copy.deepcopy(document.values)
    misfits: list[Misfit] = []
    while True:
        try:
            return converter.structure(values, Settings), misfits
        except cattrs.ClassValidationError as error:
            found = list(_misfits(document, error, (), Settings))
        misfits.extend(found)
        for misfit in found:
            _take_out(values, misfit.key)


def _take_out(values: dict[str, Any], key: Key) -> None:
    """Remove `key`, or the whole list that it is in."""
    place: Any = values
    parents = list(key)
    for index, name in enumerate(parents):
        is_last = index + 1 == len(parents)
        if is_last or not isinstance(place.get(name), dict):
            place.pop(name, None)
            return
        place = place[name]


def _misfits(
    document: Document, error: BaseException, key: Key, kind: type | None
) -> Iterator[Misfit]:
    if isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            yield from _misfits(document, inner, key + _step(inner), error.cl)
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields, key=str):
            yield Misfit((*key, name), _unknown(document, (*key, name), error.cl))
    elif isinstance(error, UnfitValueError):
        yield Misfit(key, _located(document, key, error.value, error.reason, error.fix))
    elif isinstance(error, KeyError):
        name = str(error.args[0])
        fix = f"add `{name}:` there"
        yield Misfit(key, _located(document, (*key, name), None, "missing", fix))
    else:
        reason = f"cannot be used as {getattr(kind, '__name__', kind)} ({error})"
        yield Misfit(key, _located(document, key, None, reason, "correct it"))


def _step(error: BaseException) -> Key:
    """How far below its parent an error is, from the notes that cattrs put on it."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, IterableValidationNote):
            return (note.index,)
        # A missing attribute names itself.
        if isinstance(note, AttributeValidationNote) and not isinstance(error, KeyError):
            return (note.name,)
    return ()


def _located(document: Document, key: Key, value: object, reason: str, fix: str) -> Problem:
    place = document.place_of(key)
    return problem(place.name, value, reason, fix, source=place.source, line=place.line)


def _unknown(document: Document, key: Key, kind: type) -> Problem:
    name = str(key[-1])
    known = [attribute.name for attribute in attrs.fields(kind)]
    elsewhere = known_paths(Settings).get(name, [])
    near = get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    if near:
        fix = f"did you mean `{near[0]}`?"
    elif name in _FOREIGN_NAMES:
        fix = f"here it is called `{_FOREIGN_NAMES[name]}`"
    elif elsewhere:
        fix = f"it belongs to `{elsewhere[0]}`"
    else:
        fix = "known here: " + ", ".join(known)
    return _located(document, key, None, "unknown setting", fix)


def known_paths(kind: type, prefix: str = "") -> dict[str, list[str]]:
    """Name of a setting -> the paths where it exists."""
    found: dict[str, list[str]] = {}
    hints = get_type_hints(kind)
    for attribute in attrs.fields(kind):
        path = f"{prefix}{attribute.name}"
        found.setdefault(attribute.name, []).append(path)
        for inner in _settings_types(hints[attribute.name]):
            step = (
                "." if attrs.has(hints[attribute.name]) or "None" in str(attribute.type) else ".*."
            )
            for name, paths in known_paths(inner, f"{path}{step}").items():
                found.setdefault(name, []).extend(paths)
    return found


def _settings_types(hint: Any) -> Iterator[type]:
    if attrs.has(hint):
        yield hint
    for argument in getattr(hint, "__args__", ()):
        if isinstance(argument, type) and attrs.has(argument):
            yield argument
