"""Logs: one event per line on standard error, with fields instead of sentences."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

from relayminer.telemetry.log_writer import LogWriter, Sampling

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


def set_up_logs(
    level: str,
    form: str,
    stream: TextIO | None = None,
    *,
    buffer_lines: int = 0,
    sampling: Sampling | None = None,
    caller: bool = False,
) -> LogWriter | None:
    """Configure structlog and the standard library's logging for this process.

    Args:
        level: `debug`, `info`, `warning` or `error`; anything else means info.
        form: `json`, `console`, or `auto` (console on a terminal).
        stream: where to; standard error when None.
        buffer_lines: lines that may wait for a thread that writes them; 0: each is waited for.
        sampling: what thins out lines below `warning`; None: nothing.
        caller: whether a line says its place in the code.

    Returns:
        What writes the lines, to be closed at the end; None when they are waited for.
    """
    out: TextIO | LogWriter = stream if stream is not None else sys.stderr
    threshold = LEVELS.get(level.lower(), logging.INFO)
    console = form == "console" or (form == "auto" and out.isatty())
    writer = None
    if buffer_lines:
        out = writer = LogWriter(stream or sys.stderr, buffer_lines, console=console)
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _hide_secrets,
    ]
    if sampling is not None:
        shared.insert(0, _sampler(sampling))
    if caller:
        places = structlog.processors.CallsiteParameter
        shared.insert(
            -1,
            structlog.processors.CallsiteParameterAdder({places.PATHNAME, places.LINENO}),
        )
    structlog.configure(
        processors=[*shared, *_renderers(console=console, colors=out.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", out)),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library: only what is wrong, in their own words.
    logging.basicConfig(
        level=max(threshold, logging.WARNING),
        stream=cast("TextIO", out),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )
    return writer


def _renderers(*, console: bool, colors: bool) -> list[structlog.types.Processor]:
    if console:
        # The default shows local variables, which takes seconds for a group of errors, and the
        # loop stands still for them.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(without_locals),
        structlog.processors.JSONRenderer(),
    ]


def _sampler(sampling: Sampling) -> structlog.types.Processor:
    def sample(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in {"debug", "info"} and not sampling.passes(
            str(event.get("event")), time.monotonic()
        ):
            raise structlog.DropEvent
        return event

    return sample
