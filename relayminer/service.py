"""Services, and the group that starts and stops them in order.

A service is a named async function that says when it has started and leaves nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import trio
from attrs import define, field

if TYPE_CHECKING:
    from types import TracebackType


class Service(Protocol):
    """One long-running part of a process.

    `run` reports through `task_status.started()` when others may rely on the service, returns only
    when its work is over, and cleans up when cancelled. An exception that leaves `run` ends the
    process with its reason; what must outlive a failure restarts itself inside.
    """

    @property
    def name(self) -> str:
        """How logs, metrics and the task tree call the service."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        ...


@define
class _Running:
    """A started service: what stops it, and how one learns that it has stopped."""

    service: Service
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    started: bool = False
    stopped: trio.Event = field(factory=trio.Event)


class ServiceGroup:
    """Services that start one after another and stop in the opposite order.

    Used as an async context manager. Leaving it stops what still runs, last started first, each
    within `stop_timeout_seconds` (then the rest of that service is cancelled with everything else).
    The first service that fails cancels the body, and its exception leaves the context manager
    after the others have stopped in order.
    """

    def __init__(self, stop_timeout_seconds: float) -> None:
        self._stop_timeout_seconds = stop_timeout_seconds
        self._running: list[_Running] = []
        self._nursery_manager = trio.open_nursery()
        self._nursery: trio.Nursery | None = None
        self._body = trio.CancelScope()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._nursery = await self._nursery_manager.__aenter__()
        self._body.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if self._body.__exit__(kind, error, trace):
            kind, error, trace = None, None, None
        with trio.CancelScope(shield=True):
            await self._stop_in_order()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        handled = await self._nursery_manager.__aexit__(kind, error, trace)
        if self._failure is not None:
            raise self._failure
        return handled

    async def start(self, service: Service) -> None:
        """Start `service` and return once it says that it has started."""
        if self._nursery is None:
            raise RuntimeError("a service group is entered before services start in it")
        running = _Running(service)
        self._running.append(running)
        await self._nursery.start(self._run, running, name=service.name)
        running.started = True

    async def _run(
        self, running: _Running, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            with running.scope:
                await running.service.run(task_status=task_status)
        except trio.Cancelled:
            raise
        except BaseException as error:
            # Before it has started, the failure belongs to the caller of `start`.
            if not running.started or self._failure is not None:
                raise
            self._failure = error
            self._body.cancel()
        finally:
            running.stopped.set()

    async def _stop_in_order(self) -> None:
        for running in reversed(self._running):
            running.scope.cancel()
            with trio.move_on_after(self._stop_timeout_seconds):
                await running.stopped.wait()
