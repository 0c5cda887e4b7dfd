"""What the model of the server keeps and says: values, replies, errors, and how words are read."""

from __future__ import annotations

import re
from typing import Any, TypeVar

T = TypeVar("T")


class Status(bytes):
    """A reply such as OK, which is not a value."""

    __slots__ = ()


class ReplyError(Exception):
    """An error reply; the first word is its code."""


OK = Status(b"OK")
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
Reply = Any
"""bytes, Status, int, None or a list of these."""


class Keyspace:
    """Keys with their values and ends of life; a value without content is no value."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds; who owns the model moves it."""
        self.values: dict[bytes, Any] = {}
        self.ends: dict[bytes, float] = {}
        self.expired: list[bytes] = []
        """Keys whose life has ended, as it was noticed."""

    def get(self, key: bytes, kind: type[T]) -> T | None:
        """The value of a key, None when there is none."""
        self._expire(key)
        value = self.values.get(key)
        if value is not None and not isinstance(value, kind):
            raise ReplyError(WRONG_TYPE)
        return value

    def make(self, key: bytes, kind: type[T]) -> T:
        """The value of a key, an empty one when there is none."""
        value = self.get(key, kind)
        if value is None:
            value = self.values[key] = kind()
        return value

    def exists(self, key: bytes) -> bool:
        """Whether there is a value."""
        self._expire(key)
        return key in self.values

    def drop(self, key: bytes) -> bool:
        """Remove a key; whether it was there."""
        found = self.exists(key)
        self.values.pop(key, None)
        self.ends.pop(key, None)
        return found

    def drop_empty(self, key: bytes) -> None:
        """Remove a key whose last member has left."""
        if not self.values[key]:
            self.drop(key)

    def _expire(self, key: bytes) -> None:
        end = self.ends.get(key)
        if end is not None and end <= self.now:
            self.values.pop(key, None)
            del self.ends[key]
            self.expired.append(key)

    def living(self) -> list[bytes]:
        """Every key that lives, sorted."""
        return sorted(key for key in list(self.values) if self.exists(key))


def whole(word: bytes) -> int:
    """A word as an integer of 64 bits, as strictly as the server reads it."""
    text = word.decode("latin-1")
    if not re.fullmatch(r"0|-?[1-9][0-9]*", text, re.ASCII):
        raise ReplyError("ERR value is not an integer or out of range")
    return int(text)


def number(value: int) -> bytes:
    """An integer as the server stores it."""
    return b"%d" % value
