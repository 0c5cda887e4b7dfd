"""Inputs made from good ones by damage; each from a seed that makes it again."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_BYTES = 20_000
NUMBERS = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80" * 11,
)


class Mutator:
    """Makes the n-th input of one parser.

    Args:
        name: of the parser; part of the seed.
        corpus: good inputs.
        words: pieces that mean something to the parser.
    """

    def __init__(self, name: str, corpus: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self.name = name
        self._corpus = list(corpus)
        self._words = [*words, *NUMBERS]
        self._ways: list[Callable[[bytearray, Random], None]] = [
            self._flip,
            self._flip,
            self._set,
            self._insert,
            self._delete,
            self._repeat,
            self._splice,
            self._cut,
            self._word,
            self._word,
        ]

    def make(self, number: int) -> bytes:
        """The input of this number; equal in every run."""
        random = Random(f"{self.name}:{number}")  # noqa: S311 - reproducible on purpose
        data = bytearray(random.choice(self._corpus))
        for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
            random.choice(self._ways)(data, random)
        return bytes(data[:MAX_BYTES])

    @staticmethod
    def _flip(data: bytearray, random: Random) -> None:
        if data:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)

    @staticmethod
    def _set(data: bytearray, random: Random) -> None:
        if data:
            data[random.randrange(len(data))] = random.randrange(256)

    @staticmethod
    def _insert(data: bytearray, random: Random) -> None:
        where = random.randrange(len(data) + 1)
        data[where:where] = random.randbytes(random.choice((1, 2, 9, 70)))

    @staticmethod
    def _delete(data: bytearray, random: Random) -> None:
        where = random.randrange(len(data) + 1)
        del data[where : where + random.choice((1, 2, 5, 40))]

    @staticmethod
    def _repeat(data: bytearray, random: Random) -> None:
        where = random.randrange(len(data) + 1)
        piece = data[where : where + random.choice((1, 3, 30))]
        data[where:where] = piece * random.choice((1, 2, 60))

    def _splice(self, data: bytearray, random: Random) -> None:
        other = random.choice(self._corpus)
        data[random.randrange(len(data) + 1) :] = other[random.randrange(len(other) + 1) :]

    @staticmethod
    def _cut(data: bytearray, random: Random) -> None:
        del data[random.randrange(len(data) + 1) :]

    def _word(self, data: bytearray, random: Random) -> None:
        where = random.randrange(len(data) + 1)
        data[where : where + random.choice((0, 0, 1, 4))] = random.choice(self._words)
