"""One connection to the server: greeting, and commands one after another.

The gateway's pipelined connection starts as one of these. Blocking reads and subscriptions, which
would hold up everybody else, keep one for themselves (`DedicatedConnection`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import hiredis
import trio

from relayminer.state.errors import (
    NOT_THE_PRIMARY,
    StoreAwayError,
    StoreReplyError,
    refusal_code,
    reply_error,
)
from relayminer.state.target import Target, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.state.places import Place

Argument = bytes | str | int | float
RECEIVE_BYTES: Final = 262_144
LOADING_POLL_SECONDS: Final = 0.05

# What a stream raises when the other side is gone. `trio.BrokenResourceError` covers OSErrors of an
# established connection, the others come from connecting.
GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, EOFError)


class _NotYet:
    """What the parser returns while a reply is not complete."""


NOT_YET: Final = _NotYet()


def new_parser() -> Any:
    """A reply parser that returns `NOT_YET` for an incomplete reply, and errors as values."""
    return hiredis.Reader(notEnoughData=NOT_YET, replyError=hiredis.ReplyError)


def pack(command: Sequence[Argument]) -> bytes:
    """The bytes of one command."""
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # see stub
    return packed


class RawConnection:
    """Sends commands and reads their replies, strictly one after another.

    Not for several tasks at once. Cancelling `execute` leaves a reply underway, so the owner must
    close the connection then.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.parser = new_parser()

    async def send(self, *command: Argument) -> None:
        """Sends one command; its reply is read by `receive`."""
        await self.stream.send_all(pack(command))

    async def receive(self) -> Any:
        """The next reply, errors as values; raises one of `GONE` when the connection ends."""
        while True:
            reply = self.parser.gets()
            if reply is not NOT_YET:
                return reply
            data = await self.stream.receive_some(RECEIVE_BYTES)
            if not data:
                raise EOFError("the server closed the connection")
            self.parser.feed(data)

    async def execute(self, *command: Argument) -> Any:
        """One command and its reply; raises StoreReplyError when the server refuses it."""
        await self.send(*command)
        return checked(await self.receive())

    async def aclose(self) -> None:
        """Closes without ceremony; a TLS goodbye would wait for a server that may be gone."""
        await trio.aclose_forcefully(self.stream)


def checked(reply: Any) -> Any:
    """`reply`, or StoreReplyError when it is an error."""
    if isinstance(reply, hiredis.ReplyError):
        raise reply_error(str(reply))
    return reply


async def connect(
    target: Target, *, timeout_seconds: float, is_wanted: Callable[[], bool] = lambda: True
) -> RawConnection:
    """A connection that is logged in, on its database, to a server that has loaded its data.

    A server that is loading is waited for as long as `is_wanted`: the data it loads is what we
    need, unless another server has taken its place.

    Raises:
        StoreAwayError: not reached within `timeout_seconds`, or the greeting was refused.
    """
    try:
        with trio.fail_after(timeout_seconds):
            connection = RawConnection(await open_stream(target))
    except (*GONE, trio.TooSlowError) as error:
        raise StoreAwayError(f"cannot reach the store at {target}: {_reason(error)}") from error
    try:
        with trio.fail_after(timeout_seconds):
            await _greet(connection, target)
        while await _is_loading(connection, timeout_seconds):
            _require(is_wanted(), "another server has taken its place")
            await trio.sleep(LOADING_POLL_SECONDS)
    except (*GONE, trio.TooSlowError, StoreReplyError) as error:
        await connection.aclose()
        raise StoreAwayError(f"the store at {target} refuses us: {_reason(error)}") from error
    except BaseException:
        await connection.aclose()
        raise
    return connection


def _require(fact: bool, reason: str) -> None:
    if not fact:
        raise EOFError(reason)


async def _greet(connection: RawConnection, target: Target) -> None:
    if target.password:
        credentials = [target.username] if target.username else []
        await connection.execute("AUTH", *credentials, target.password)
    if target.database:
        await connection.execute("SELECT", target.database)


async def _is_loading(connection: RawConnection, timeout_seconds: float) -> bool:
    with trio.fail_after(timeout_seconds):
        await connection.send("PING")
        reply = await connection.receive()
    if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("LOADING"):
        return True
    checked(reply)
    return False


async def refuse_replica(connection: RawConnection, target: Target) -> None:
    """Makes sure that writes will be taken.

    Raises:
        StoreAwayError: the server is the replica of another one.
    """
    await connection.send("ROLE")
    reply = await connection.receive()
    # An error (the user may not ask) proves nothing: the first write will tell.
    if isinstance(reply, list) and reply and reply[0] == b"slave":
        host, port = reply[1].decode(errors="replace"), reply[2]
        raise StoreAwayError(
            f"{target} is a replica and takes no writes; its primary is {host}:{port}"
        )


async def knows_command(connection: RawConnection, name: str) -> bool:
    """Whether the server has the command; False where asking is not allowed."""
    await connection.send("COMMAND", "INFO", name)
    reply = await connection.receive()
    return isinstance(reply, list) and len(reply) == 1 and bool(reply[0])


def _reason(error: BaseException) -> str:
    # Trio's own errors have no words; what caused them has, such as a certificate that is refused.
    return str(error) or str(error.__cause__ or "") or type(error).__name__


class DedicatedConnection:
    """A connection of one's own that connects when it is used and again after a failure.

    For one task. A command that fails or is cancelled closes the connection, since nobody knows
    then whether the server executed it; the next command opens a new one.
    """

    def __init__(self, place: Place, *, timeout_seconds: float) -> None:
        self._place = place
        self._timeout_seconds = timeout_seconds
        self._connection: RawConnection | None = None
        self._target: Target | None = None

    async def command(self, *command: Argument, timeout_seconds: float | None = None) -> Any:
        """One command and its reply.

        Args:
            *command: the command's words.
            timeout_seconds: for the reply; None takes the gateway's, `math.inf` waits forever.

        Raises:
            StoreAwayError: no connection, or no reply in time.
            StoreReplyError: the server refused the command.
        """
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        connection = await self._ready()
        try:
            with trio.fail_after(limit) if limit < math.inf else trio.CancelScope():
                reply = await _exchange(connection, command)
        except (*GONE, trio.TooSlowError) as error:
            await connection.aclose()
            raise StoreAwayError(
                f"no answer to {command[0]!r} from the store at {self._target}: {_reason(error)}",
                maybe_executed=True,
            ) from error
        except BaseException:
            await connection.aclose()
            raise
        if isinstance(reply, hiredis.ReplyError) and refusal_code(str(reply)) in NOT_THE_PRIMARY:
            await connection.aclose()
            raise StoreAwayError(f"{self._target} is not the primary any more: {reply}")
        self._connection = connection
        return checked(reply)

    async def _ready(self) -> RawConnection:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._target is not None and self._place.is_current(self._target):
                return connection
            await connection.aclose()
        self._target = await self._place.locate()
        return await connect(self._target, timeout_seconds=self._timeout_seconds)

    async def aclose(self) -> None:
        """Closes the connection; a later command would open a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()


async def _exchange(connection: RawConnection, command: Sequence[Argument]) -> Any:
    await connection.send(*command)
    return await connection.receive()
