"""Where the time and the memory go, of this process, while it goes on working."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Final

import trio
from pyinstrument import Profiler
from pyinstrument.renderers import ConsoleRenderer, HTMLRenderer, SpeedscopeRenderer

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from pyinstrument.renderers.base import Renderer

SAMPLE_SECONDS: Final = 0.002
TOP_LINES: Final = 40

RENDERERS: Final[dict[str, tuple[type[Renderer], str]]] = {
    "html": (HTMLRenderer, "text/html; charset=utf-8"),
    "speedscope": (SpeedscopeRenderer, "application/json"),
    "text": (ConsoleRenderer, "text/plain; charset=utf-8"),
}
"""Format -> how it is made, its content type. `html` has a flame graph; `speedscope` is for
https://www.speedscope.app or its editor plugins."""


class BusyError(RelayMinerError):
    """A profile of this kind is being taken."""


class Profiles:
    """One profile of each kind at a time: two would measure each other."""

    def __init__(self) -> None:
        self._cpu = trio.Lock()
        self._heap = trio.Lock()

    async def cpu(self, seconds: float, form: str) -> tuple[str, str]:
        """Sample the loop's thread; the page and its content type.

        Args:
            seconds: how long to look.
            form: one of `RENDERERS`.

        Raises:
            BusyError: a profile is being taken.
        """
        renderer, kind = RENDERERS[form]
        with _taken(self._cpu):
            # All tasks of the loop belong into the picture, not the one that asks.
            profiler = Profiler(interval=SAMPLE_SECONDS, async_mode="disabled")
            profiler.start()
            try:
                await trio.sleep(seconds)
            finally:
                profiler.stop()
            page = await trio.to_thread.run_sync(lambda: profiler.output(renderer()))
        return page, kind

    async def heap(self, seconds: float) -> str:
        """Which lines of code asked for the memory that was taken meanwhile and not given back.

        Raises:
            BusyError: a summary is being made.
        """
        with _taken(self._heap):
            tracemalloc.start(1)
            try:
                await trio.sleep(seconds)
                snapshot = tracemalloc.take_snapshot()
            finally:
                tracemalloc.stop()
        return await trio.to_thread.run_sync(_heap_page, snapshot, seconds)


class _taken:  # noqa: N801 - reads as a word of `with`
    """Hold a lock, or say that it is held."""

    def __init__(self, lock: trio.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            raise BusyError("one is being taken already: ask again when it has ended") from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _heap_page(snapshot: tracemalloc.Snapshot, seconds: float) -> str:
    lines = snapshot.statistics("lineno")
    total = sum(line.size for line in lines)
    page = [
        f"{total / 1024:.1f} KiB were taken within {seconds:g} s and not given back, by",
        f"{'KiB':>10} {'blocks':>8}  line",
    ]
    for line in lines[:TOP_LINES]:
        frame = line.traceback[0]
        page.append(f"{line.size / 1024:10.1f} {line.count:8}  {frame.filename}:{frame.lineno}")
    return "\n".join(page) + "\n"
