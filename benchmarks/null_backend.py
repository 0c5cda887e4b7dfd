"""A backend that answers everything at once with the same bytes, at the least cost.

A program of its own: it prints the port that it listens on. With a file that holds the body of a
relay's answer it is a relayer that does nothing, for measuring its clients; with two times it takes
a while that is drawn between them, the same ones in every run.

    python -m benchmarks.null_backend [BODY [LEAST_MS MOST_MS]]
"""

from __future__ import annotations

import heapq
import random
import re
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b'{"jsonrpc":"2.0","id":1,"result":"0x' + b"0" * 64 + b'"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One client; requests may come in pieces or several at once."""

    __slots__ = ("_answer", "_later", "received", "socket")

    def __init__(
        self, client: socket.socket, answer: bytes, later: Callable[[Connection, int], bool]
    ) -> None:
        self._later = later
        self.socket = client
        self._answer = answer
        self.received = b""

    def answer(self) -> bool:
        """Answer every whole request that has come; False when the client has gone."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        self.received += data
        whole = 0
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.received, 0, end)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.received) < total:
                break
            self.received = self.received[total:]
            whole += 1
        if whole and not self._later(self, whole):
            self.send(whole)
        return True

    def send(self, answers: int) -> None:
        """Write so many answers."""
        try:
            self.socket.sendall(self._answer * answers)
        except OSError:
            # Its client has gone; the next look at the socket says so.
            return


class Delays:
    """Answers that are due later."""

    def __init__(self, least_ms: float, most_ms: float) -> None:
        self._least, self._most = least_ms / 1000, most_ms / 1000
        self._random = random.Random(1)  # noqa: S311 - no secret
        self._due: list[tuple[float, int, Connection, int]] = []
        self._number = 0

    def put(self, client: Connection, answers: int) -> bool:
        """Keep them for a while; False when there is none to keep them for."""
        if not self._most:
            return False
        self._number += 1
        due = time.monotonic() + self._random.uniform(self._least, self._most)
        heapq.heappush(self._due, (due, self._number, client, answers))
        return True

    def send_due(self) -> float | None:
        """Send what is due; how long until the next is, None for ever."""
        while self._due:
            wait = self._due[0][0] - time.monotonic()
            if wait > 0:
                return wait
            _, _, client, answers = heapq.heappop(self._due)
            client.send(answers)
        return None


def main() -> None:
    """Serve until killed."""
    body = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else BODY
    answer = HEAD % len(body) + body
    delays = Delays(*(map(float, sys.argv[2:4]) if len(sys.argv) > 3 else (0.0, 0.0)))  # noqa: PLR2004 - both of them
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.settimeout(0)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, Connection] = {}
    while True:
        for number, _ in poll.poll(delays.send_due()):
            if number == listener.fileno():
                client, _ = listener.accept()
                client.settimeout(0)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = Connection(client, answer, delays.put)
                poll.register(client, select.EPOLLIN)
            elif not clients[number].answer():
                poll.unregister(number)
                clients.pop(number).socket.close()


if __name__ == "__main__":
    main()
