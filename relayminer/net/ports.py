"""Ports for processes that are told theirs before they start: the demo's, and those of tests."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from typing import Final

# Below what Linux gives to outgoing connections (32768 and up): one of those, made between our
# look and the process that binds the port, would take it away.
_LOWEST: Final = 20_000
_HIGHEST: Final = 32_000
_HOST: Final = "127.0.0.1"


def free_port(*, beside: int = 0) -> int:
    """A TCP port of this machine that nobody listens at right now.

    Args:
        beside: the port this many higher must be free as well; 0: no other.
    """
    while True:
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        with ExitStack() as held:
            try:
                for wanted in {port, port + beside}:
                    held.enter_context(socket.create_server((_HOST, wanted)))
            except OSError:
                continue
            return port
