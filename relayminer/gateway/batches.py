"""Streamed answers: signed batches with a delimiter behind each (relayer.md 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from relayminer.gateway.errors import GatewayError
from relayminer.net.errors import NetError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relayminer.gateway.lines import HttpLine

DELIMITER: Final = b"||POKT_STREAM||"
MAX_BATCH_BYTES: Final = 262_144


class BatchReader:
    """Cuts a stream into batches, whatever pieces it comes in."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._looked_at = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The batches that are whole now.

        Raises:
            GatewayError: one is longer than a batch may be.
        """
        self._rest += data
        batches = []
        while (end := self._rest.find(DELIMITER, self._looked_at)) >= 0:
            batches.append(bytes(self._rest[:end]))
            del self._rest[: end + len(DELIMITER)]
            self._looked_at = 0
        self._looked_at = max(0, len(self._rest) - len(DELIMITER) + 1)
        if len(self._rest) > MAX_BATCH_BYTES + len(DELIMITER):
            raise GatewayError(f"a batch of more than {MAX_BATCH_BYTES} bytes")
        return batches

    def end(self) -> bytes:
        """What came behind the last delimiter, when the stream has ended well."""
        return bytes(self._rest)


async def batches(line: HttpLine, request: bytes, *, whole: bool = False) -> AsyncIterator[bytes]:
    """The answers (`RelayResponse` bytes) to one request, as they come.

    An answer without a delimiter, as of a backend that does not stream, is one batch. After a read
    error nothing more comes: what is not whole is dropped. A relayer logs a stream at its end, so
    one that broke off was not mined.

    Args:
        line: open.
        request: signed.
        whole: a stream that breaks off is an error, too.

    Raises:
        GatewayError: the relayer refuses, or nothing came at all.
    """
    reader = BatchReader()
    count = 0
    try:
        await line.send(request)
        while piece := await line.receive():
            line.check_status()
            for batch in reader.feed(piece):
                count += 1
                yield batch
    except NetError as error:
        if whole or not count:
            raise GatewayError(str(error)) from error
        return
    line.check_status()
    rest = reader.end()
    if rest:
        count += 1
        yield rest
    if not count:
        raise GatewayError("the stream was empty")
