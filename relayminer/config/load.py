"""From a YAML file, the environment and the command line to settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from relayminer.config.checks import check_settings
from relayminer.config.document import Document, Key, Place, read_document
from relayminer.config.environment import put, read_environment
from relayminer.config.errors import ConfigError, Problem, problem
from relayminer.config.structure import structured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relayminer.config.complaint import Complaint
    from relayminer.config.settings import ServiceSettings, Settings

COMMAND_LINE = "command line"
DEFAULTS = "defaults"

_NEAR = 2
"""Levels between a backend and an entry of its list of addresses."""


@frozen
class Loaded:
    """Settings, and where each value came from.

    Attributes:
        settings: what holds.
        document: what was written where; a setting that is not in it has its default.
    """

    settings: Settings
    document: Document = field(repr=False)


def load(
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a file, or the defaults when there is none.

    Relative paths in a file count from the file's directory, `~` is the home directory. A service
    with one backend answers with that one, whatever `default_backend` says.

    Args:
        path: a YAML file.
        overrides: path of a setting (`redis.url`) -> value, over everything else.
        environ: variables `RELAYMINER_...`, which win over the file, and those that the file
            names as `${NAME}`; None: neither.

    Raises:
        ConfigError: with everything that is wrong.
    """
    document = Document(DEFAULTS) if path is None else read_document(path, environ)
    return settle(document, path, overrides, environ).settings


def settle(
    document: Document,
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Put the environment and the command line over a document, and make settings of it.

    Args:
        document: is changed.
        path: the file whose directory relative paths count from.
        overrides: as for `load`.
        environ: as for `load`.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if environ:
        read_environment(document, environ)
    for name, value in (overrides or {}).items():
        put(document, tuple(name.split(".")), value, Place(COMMAND_LINE, 0, name))
    settings, misfits = structured(document)
    problems = [misfit.problem for misfit in misfits]
    problems.extend(
        _problem(document, complaint)
        for complaint in check_settings(settings)
        if not any(_follows(complaint.key, misfit.key) for misfit in misfits)
    )
    if problems:
        raise ConfigError(sorted(problems, key=lambda one: one.line))
    return Loaded(_resolved(settings, path), document)


def _follows(complaint: Key, misfit: Key) -> bool:
    """Whether a complaint may only be there because a misfit was taken out."""
    if complaint[-1] == "default_backend":
        backends = (*complaint[:-1], "backends")
        return misfit[: len(backends)] == backends
    below = len(misfit) - len(complaint)
    return misfit[: len(complaint)] == complaint and below <= _NEAR


def _problem(document: Document, complaint: Complaint) -> Problem:
    place = document.place_of(complaint.key)
    return problem(
        place.name,
        complaint.value,
        complaint.reason,
        complaint.fix,
        source=place.source,
        line=place.line,
    )


def _resolved(settings: Settings, path: Path | None) -> Settings:
    """Settings with absolute paths and the default backend that each service really has."""
    services = {
        service_id: _with_default(service)
        for service_id, service in settings.relayer.services.items()
    }
    settings = attrs.evolve(settings, relayer=attrs.evolve(settings.relayer, services=services))
    resolved: Settings = _with_absolute_paths(settings, path)
    return resolved


def _with_default(service: ServiceSettings) -> ServiceSettings:
    if len(service.backends) > 1:
        return service
    return attrs.evolve(service, default_backend=next(iter(service.backends)))


def _with_absolute_paths(value: Any, config: Path | None) -> Any:
    """A setting, or a mapping or class of settings, as `value` with its paths made absolute."""
    if isinstance(value, Path):
        path = value.expanduser()
        return path if config is None else config.absolute().parent / path
    if isinstance(value, dict):
        return {name: _with_absolute_paths(inner, config) for name, inner in value.items()}
    if attrs.has(type(value)):
        names = [attribute.name for attribute in attrs.fields(type(value))]
        return attrs.evolve(
            value, **{name: _with_absolute_paths(getattr(value, name), config) for name in names}
        )
    return value
