"""Listening sockets whose port is known before anybody serves on them."""

from __future__ import annotations

import socket

BACKLOG = 1024


def open_listener(host: str, port: int) -> socket.socket:
    """A bound, listening, non-blocking TCP socket; port 0 takes any free one.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(0)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def port_of(listener: socket.socket) -> int:
    """The port that a listener got."""
    port: int = listener.getsockname()[1]
    return port
