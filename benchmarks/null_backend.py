"""A backend that answers everything at once with the same bytes, at the least cost.

A program of its own: it prints the port that it listens on. With a file that holds the body of a
relay's answer it is a relayer that does nothing, for measuring its clients.

    python -m benchmarks.null_backend [BODY]
"""

from __future__ import annotations

import re
import select
import socket
import sys
from pathlib import Path

BODY = b'{"jsonrpc":"2.0","id":1,"result":"0x' + b"0" * 64 + b'"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One client; requests may come in pieces or several at once."""

    __slots__ = ("_answer", "received", "socket")

    def __init__(self, client: socket.socket, answer: bytes) -> None:
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
        if whole:
            self.socket.sendall(self._answer * whole)
        return True


def main() -> None:
    """Serve until killed."""
    body = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else BODY
    answer = HEAD % len(body) + body
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.settimeout(0)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, Connection] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                client, _ = listener.accept()
                client.settimeout(0)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = Connection(client, answer)
                poll.register(client, select.EPOLLIN)
            elif not clients[number].answer():
                poll.unregister(number)
                clients.pop(number).socket.close()


if __name__ == "__main__":
    main()
