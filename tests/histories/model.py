"""A model of a Redis-compatible server: in memory, on a clock of its owner, and always the same.

It runs the real Lua scripts in a real Lua 5.1. What it answers is compared with a real server by
`test_model.py`; a command that it does not know is an error that says so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from lupa import lua51

from tests.histories import model_commands, model_streams
from tests.histories.model_values import OK, Keyspace, Reply, ReplyError, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TABLE: dict[bytes, Callable[..., Reply]] = {**model_commands.COMMANDS, **model_streams.COMMANDS}
WAITS_FOR = frozenset({b"XADD"})


class Model:
    """The server. `execute` runs a command, `run` what one client sends in one write.

    Attributes:
        space: its keys.
        on_publish: called with every channel and message.
        on_entry: called when something was added to a stream.
    """

    def __init__(self) -> None:
        self.space = Keyspace()
        self.on_publish: Callable[[bytes, bytes], int] = lambda _channel, _message: 0
        self.on_entry: Callable[[], None] = lambda: None
        self._lua: Any = lua51.LuaRuntime(encoding=None, register_eval=False)
        self._scripts: dict[bytes, Any] = {}
        self._lua.globals()[b"redis"] = self._lua.table_from(
            {
                b"call": self._call,
                b"pcall": self._protected_call,
                b"error_reply": lambda text: self._lua.table_from({b"err": text}),
                b"status_reply": lambda text: self._lua.table_from({b"ok": text}),
            }
        )

    def run(self, commands: Sequence[list[bytes]]) -> list[Reply]:
        """Replies to the commands of one write, in order; errors are values."""
        replies: list[Reply] = []
        queued: list[list[bytes]] | None = None
        for words in commands:
            name = words[0].upper()
            if name == b"MULTI":
                queued = []
                replies.append(OK)
            elif name == b"EXEC" and queued is not None:
                replies.append([self._guarded(each) for each in queued])
                queued = None
            elif queued is not None:
                queued.append(words)
                replies.append(Status(b"QUEUED"))
            else:
                replies.append(self._guarded(words))
        return replies

    def _guarded(self, words: list[bytes]) -> Reply:
        try:
            return self.execute(words)
        except ReplyError as error:
            return error

    def execute(self, words: Sequence[bytes]) -> Reply:
        """The reply to one command; raises ReplyError."""
        name = words[0].upper()
        if name in {b"EVAL", b"EVALSHA"}:
            return self._script(words)
        if name == b"PUBLISH":
            return self.on_publish(words[1], words[2])
        command = TABLE.get(name)
        if command is None:
            raise ReplyError(f"ERR the model of the server does not know {name!r}: teach it")
        reply = command(self.space, *words[1:])
        if name in WAITS_FOR:
            self.on_entry()
        return reply

    def _script(self, words: Sequence[bytes]) -> Reply:
        if words[0].upper() == b"EVAL":
            text = words[1]
            digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
            if digest not in self._scripts:
                self._scripts[digest] = self._lua.execute(
                    b"return function(KEYS, ARGV) " + text + b"\nend"
                )
        else:
            digest = words[1].lower()
        function = self._scripts.get(digest)
        if function is None:
            raise ReplyError("NOSCRIPT No matching script. Please use EVAL.")
        count = int(words[2])
        keys = self._lua.table_from(list(words[3 : 3 + count]))
        arguments = self._lua.table_from(list(words[3 + count :]))
        return self._from_lua(function(keys, arguments))

    def _call(self, *words: Any) -> Any:
        return self._to_lua(self.execute([_word(word) for word in words]))

    def _protected_call(self, *words: Any) -> Any:
        try:
            return self._call(*words)
        except ReplyError as error:
            return self._lua.table_from({b"err": str(error).encode()})

    def _to_lua(self, reply: Reply) -> Any:
        if reply is None:
            return False
        if isinstance(reply, Status):
            return self._lua.table_from({b"ok": bytes(reply)})
        if isinstance(reply, list):
            return self._lua.table_from([self._to_lua(each) for each in reply])
        return reply

    def _from_lua(self, value: Any) -> Reply:
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, int | float):
            return int(value)
        if isinstance(value, bytes):
            return value
        if value[b"err"] is not None:
            raise ReplyError(value[b"err"].decode())
        if value[b"ok"] is not None:
            return Status(value[b"ok"])
        reply = []
        index = 1
        while value[index] is not None:
            reply.append(self._from_lua(value[index]))
            index += 1
        return reply


def _word(value: Any) -> bytes:
    """A command's word from a Lua value."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and not value.is_integer():
        return b"%.17g" % value
    return b"%d" % int(value)
