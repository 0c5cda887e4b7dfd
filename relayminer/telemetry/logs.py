"""Logs: one event per line on standard error, with fields instead of sentences."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_SECRET_NAMES = ("secret", "private", "password", "token", "mnemonic", "authorization")
_MAX_TEXT = 2_000
_HIDDEN = "(hidden)"


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A last line of defence: nobody logs a secret, and if somebody does it is not shown."""
    for name, value in event.items():
        lowered = name.lower()
        if any(word in lowered for word in _SECRET_NAMES):
            event[name] = _HIDDEN
        elif isinstance(value, (bytes, bytearray, memoryview)):
            # Payloads do not belong in logs; hashes and ids are logged as text.
            event[name] = f"({len(value)} bytes)"
        elif isinstance(value, str) and len(value) > _MAX_TEXT:
            event[name] = value[:_MAX_TEXT] + f"... ({len(value)} characters)"
    return event


def set_up_logs(level: str, form: str, stream: TextIO | None = None) -> None:
    """Configure structlog and the standard library's logging for this process.

    Args:
        level: `debug`, `info`, `warning` or `error`; anything else means info.
        form: `json`, `console`, or `auto` (console on a terminal).
        stream: where to; standard error when None.
    """
    out = stream if stream is not None else sys.stderr
    threshold = LEVELS.get(level.lower(), logging.INFO)
    console = form == "console" or (form == "auto" and out.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _hide_secrets,
    ]
    if console:
        # The default shows local variables, which takes seconds for a group of errors, and the
        # loop stands still for them.
        plain = structlog.dev.plain_traceback
        shared.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain))
    else:
        without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared.append(structlog.processors.ExceptionRenderer(without_locals))
        shared.append(structlog.processors.JSONRenderer())
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library: only what is wrong, in their own words.
    logging.basicConfig(
        level=max(threshold, logging.WARNING),
        stream=out,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
