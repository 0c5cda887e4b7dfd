"""The one address that gateways call: accepts, looks at the first bytes, hands over."""

from __future__ import annotations

import errno
import math
import socket
from typing import TYPE_CHECKING

import structlog
import trio
from trio.lowlevel import wait_readable

from relayminer.net.errors import WireError, WireTimeoutError
from relayminer.plugin import Claim
from relayminer.relayer.entrance import NotAdmittedError
from relayminer.relayer.errors import RelayerConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.net.watchdog import Watchdog
    from relayminer.net.wire import Wire
    from relayminer.plugin import Transport
    from relayminer.relayer.engine import RelayEngine
    from relayminer.relayer.entrance import Address, Entrance
    from relayminer.relayer.metrics import RelayerMetrics

_BACKLOG = 4_096
_ACCEPTS_PER_TURN = 32
_PEEK_BYTES = 4_096
_MORE_PAUSE_SECONDS = 0.02
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_OUT_OF_DESCRIPTORS_PAUSE_SECONDS = 0.1


def open_listeners(listen: str) -> list[socket.socket]:
    """Listening sockets for `host:port`; several processes may share the port.

    Raises:
        RelayerConfigurationError: the address cannot be used.
    """
    host, separator, port_text = listen.rpartition(":")
    host = host.strip("[]")
    if not separator or not port_text.isdigit():
        raise RelayerConfigurationError(f"relayer.listen: {listen!r} is not host:port")
    try:
        found = socket.getaddrinfo(
            host or None, int(port_text), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return [_listener(family, address) for family, _, _, _, address in found]
    except OSError as error:
        raise RelayerConfigurationError(
            f"relayer.listen: cannot listen on {listen}: {error}"
        ) from error


def _listener(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)  # noqa: FBT003 - the name of the standard library's argument
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class FrontDoor:
    """Accepts connections and finds the transport that claims each.

    Args:
        max_connections: open at once; a further one is closed at once.
    """

    def __init__(
        self,
        engine: RelayEngine,
        entrance: Entrance,
        transports: Sequence[Transport],
        watchdog: Watchdog,
        metrics: RelayerMetrics,
        *,
        max_connections: int,
    ) -> None:
        self._engine = engine
        self._entrance = entrance
        self._transports = transports
        self._watchdog = watchdog
        self._metrics = metrics
        self._max_connections = max_connections
        self._wires: set[Wire] = set()
        self._log = structlog.get_logger("relayminer.relayer")
        metrics.connections.read = lambda: len(self._wires)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._wires)

    async def accept_forever(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """Serve each connection of `listener` in `nursery` until cancelled."""
        while True:
            try:
                await wait_readable(listener)
            except trio.ClosedResourceError:
                return
            for _ in range(_ACCEPTS_PER_TURN):
                try:
                    accepted, source = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _OUT_OF_DESCRIPTORS:
                        self._log.error("out_of_descriptors", connections=len(self._wires))
                        await trio.sleep(_OUT_OF_DESCRIPTORS_PAUSE_SECONDS)
                    break
                if len(self._wires) >= self._max_connections:
                    accepted.close()
                    continue
                nursery.start_soon(self._serve, accepted, source[:2])

    def stop_reading(self) -> None:
        """Wake every connection that waits for a request; answers may still be written."""
        for wire in self._wires:
            if not wire.ends_itself:
                wire.stop_reading()
        for transport in self._transports:
            drain = getattr(transport, "drain", None)
            if drain is not None:
                try:
                    drain()
                except Exception:  # noqa: BLE001 - one transport's accident must not stop the others' end
                    self._log.exception("drain_failed", transport=transport.name)

    async def _serve(self, accepted: socket.socket, source: Address) -> None:
        wire = self._entrance.wire(accepted)
        self._wires.add(wire)
        self._watchdog.watch(wire)
        try:
            client = await self._entrance.admit(wire, source)
            # Whatever is logged for this connection says whose it is.
            structlog.contextvars.bind_contextvars(client=f"{client[0]}:{client[1]}")
            transport = await self._find(wire)
            if transport is not None:
                await transport.serve(wire, self._engine)
        except (NotAdmittedError, WireError, WireTimeoutError):
            # The client is gone; what it had asked for is already accounted for.
            return
        except Exception:  # noqa: BLE001 - a transport's accident ends its connection, not the relayer
            self._metrics.connection_accidents.value += 1
            self._log.exception("connection_failed")
        finally:
            self._watchdog.forget(wire)
            self._wires.discard(wire)
            wire.close()

    async def _find(self, wire: Wire) -> Transport | None:
        wire.expires_at = trio.current_time() + self._engine.limits.idle_timeout_seconds
        while True:
            head = await wire.peek(_PEEK_BYTES)
            if not head:
                return None
            undecided = False
            for transport in self._transports:
                claim = transport.claims(head)
                if claim is Claim.YES:
                    wire.expires_at = math.inf
                    return transport
                undecided = claim is Claim.MORE and len(head) < _PEEK_BYTES
                if undecided:
                    # Who comes later would take what may still be this one's.
                    break
            if not undecided:
                return None
            limits = self._engine.limits
            wire.expires_at = min(
                wire.expires_at, trio.current_time() + limits.header_timeout_seconds
            )
            # The bytes stay in the socket, so it stays readable: look again a little later.
            await trio.sleep(_MORE_PAUSE_SECONDS)
            if wire.expired:
                # Too late to be anybody's: the one that takes whatever is left says so.
                return self._transports[-1]
