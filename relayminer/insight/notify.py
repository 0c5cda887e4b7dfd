"""Tells a person by webhook what is wrong with this process and its money, and when it is over.

What is told is a state, not a stream: of each subject it is known what was last told, and a notice
goes out when that is no longer so. Whatever comes faster than it may be told is told as one, so
what waits is bounded by the number of subjects.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
import trio
from attrs import define

from relayminer.config.notify import filled, is_json
from relayminer.insight.conditions import CRITICAL, Conditions, Key, Trouble
from relayminer.net.client import HttpPool
from relayminer.net.dial import TLS_SCHEMES
from relayminer.net.errors import NetError
from relayminer.net.server import fetch
from relayminer.net.url import DEFAULT_PORTS, Origin
from relayminer.net.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.config.notify import NotifySettings
    from relayminer.insight.fleet import Fleet
    from relayminer.telemetry.health import Health
    from relayminer.telemetry.metrics import Metrics

LOOK_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 30.0
SUBJECTS_MAX: Final = 1_000
"""Subjects that something is known of; what is new beyond that waits."""
HOUR_SECONDS: Final = 3_600.0
ANSWER_BYTES_MAX: Final = 65_536
TEXT_MAX: Final = 500
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
HAPPENED: Final = "happened"
_OK: Final = range(200, 300)

_log = structlog.get_logger("relayminer.notify")


@define
class _Subject:
    """What is so, and what was told of it."""

    trouble: Trouble | None = None
    told: Trouble | None = None
    times: float = 0.0
    what: str = ""
    told_at: float = float("-inf")
    ours: bool = False
    """Whether the next notice was found to be ours to send."""

    @property
    def news(self) -> bool:
        """Whether there is something to tell."""
        return self.times > 0 or (self.trouble is None) != (self.told is None)


class Notifier:
    """Sends notices until cancelled; a `Service`.

    Args:
        settings: where to, how often at most.
        metrics: what is looked at, and where notices are counted.
        health: the same.
        process: how a person knows this process.
        fleet: asked who tells of what all processes see; None: we tell of everything.
        look_seconds: between two looks.
        retry_seconds: after a notice that was not taken.
        now: Unix seconds, for people.
    """

    name = "notifier"

    def __init__(
        self,
        settings: NotifySettings,
        metrics: Metrics,
        health: Health,
        process: str,
        *,
        fleet: Fleet | None = None,
        look_seconds: float = LOOK_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._process = process
        self._fleet = fleet
        self._look_seconds = look_seconds
        self._retry_seconds = retry_seconds
        self._now = now
        self._conditions = Conditions(metrics, health, settings.at_risk_seconds)
        self._subjects: dict[Key, _Subject] = {}
        self._sent_at: deque[float] = deque()
        notices = metrics.counter("relayminer_notices", "Notices by webhook", ("result",))
        self._sent, self._failed = notices.bind("sent"), notices.bind("failed")
        self._watchdog = Watchdog()
        parts = urlsplit(settings.webhook_url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        origin = Origin(parts.scheme, parts.hostname or "", port)
        self._pool = HttpPool(origin, self._watchdog, max_connections=1, idle_seconds=30.0)
        target = parts.path or "/"
        self._target = (f"{target}?{parts.query}" if parts.query else target).encode()
        kind = "application/json" if is_json(settings.template) else "text/plain; charset=utf-8"
        headers = {"Content-Type": kind, **settings.headers}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        if parts.scheme not in TLS_SCHEMES:
            _log.warning("notices go over an unencrypted connection")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look and tell until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watchdog.run)
            task_status.started()
            try:
                while True:
                    self._look()
                    pause = self._look_seconds if await self._tell() else self._retry_seconds
                    await trio.sleep(pause)
            finally:
                self._pool.close()

    def _look(self) -> None:
        for one in self._conditions.happened():
            subject = self._subject(one.key)
            if subject is not None:
                subject.times += one.times
                subject.what = one.what
        troubles = self._conditions.troubles(trio.current_time())
        for key, trouble in troubles.items():
            subject = self._subject(key)
            if subject is not None:
                subject.trouble = trouble
        for key, subject in list(self._subjects.items()):
            if key not in troubles:
                subject.trouble = None
            if not subject.news and subject.told is None and self._may_again(subject):
                del self._subjects[key]

    def _subject(self, key: Key) -> _Subject | None:
        if key not in self._subjects and len(self._subjects) >= SUBJECTS_MAX:
            return None
        return self._subjects.setdefault(key, _Subject())

    def _may_again(self, subject: _Subject) -> bool:
        return trio.current_time() - subject.told_at >= self._settings.min_interval_seconds

    def _is_due(self, subject: _Subject) -> bool:
        # That something is over is good news at any time; that it began again has to wait.
        is_over = subject.told is not None and subject.trouble is None
        return subject.news and (is_over or self._may_again(subject))

    async def _tell(self) -> bool:
        """Send what is due and allowed; False when the other side took one of them not."""
        due = [(key, one) for key, one in self._subjects.items() if self._is_due(one)]
        due.sort(key=lambda pair: _rank(pair[1]))
        for key, subject in due:
            now = trio.current_time()
            while self._sent_at and now - self._sent_at[0] >= HOUR_SECONDS:
                self._sent_at.popleft()
            if len(self._sent_at) >= self._settings.max_per_hour:
                return True
            if not await self._is_ours(key, subject):
                subject.told = subject.trouble
                subject.told_at = now
                continue
            if not await self._send(key, subject):
                return False
            subject.ours = False
        if self._fleet is not None:
            await self._fleet.keep(key for key, one in self._subjects.items() if one.trouble)
        return True

    async def _is_ours(self, key: Key, subject: _Subject) -> bool:
        """Whether it is this process that tells; once found, until it is told."""
        if self._fleet is not None and not subject.times and not subject.ours:
            subject.ours = await self._fleet.may_tell(key, is_over=subject.trouble is None)
            return subject.ours
        return True

    async def _send(self, key: Key, subject: _Subject) -> bool:
        trouble, times = subject.trouble, subject.times
        if times:
            status, severity, text = HAPPENED, CRITICAL, f"{times:g} {subject.what}"
        elif trouble is not None:
            status, severity, text = FIRING, trouble.severity, trouble.text
        else:
            status = RESOLVED
            severity = "info"
            text = "over: " + (subject.told.text if subject.told is not None else "")
        body = filled(
            self._settings.template,
            {
                "status": status,
                "severity": severity,
                "event": key[0],
                "subject": key[1],
                "text": text[:TEXT_MAX],
                "process": self._process,
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now())),
            },
        )
        if not await self._post(body.encode()):
            self._failed.value += 1
            return False
        self._sent.value += 1
        subject.told_at = trio.current_time()
        self._sent_at.append(subject.told_at)
        if times:
            subject.times -= times
        else:
            subject.told = trouble
        return True

    async def _post(self, body: bytes) -> bool:
        """Whether the other side took it. No word of where it went, nor of what it answered."""
        seconds = self._settings.timeout_seconds
        try:
            with trio.fail_after(seconds):
                answer = await fetch(
                    self._pool,
                    b"POST",
                    self._target,
                    headers=self._headers,
                    body=body,
                    timeout_seconds=seconds,
                    max_response_bytes=ANSWER_BYTES_MAX,
                )
        except (NetError, trio.TooSlowError) as error:
            _log.warning("notice not sent, tried again later", reason=type(error).__name__)
            return False
        if answer.status not in _OK:
            _log.warning("notice not taken, tried again later", status=answer.status)
            return False
        return True


def _rank(subject: _Subject) -> int:
    """What is told first when not everything may be."""
    if subject.times:
        return 0
    if subject.trouble is None:
        return 3
    return 1 if subject.trouble.severity == CRITICAL else 2
