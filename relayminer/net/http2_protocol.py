"""h2 as a client of ours needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes

if TYPE_CHECKING:
    from hyperframe.frame import Frame, GoAwayFrame

STREAM_WINDOW_BYTES: Final = 262_144


class ClientProtocol(H2Connection):
    """h2 with a shorter memory, and with streams that end after a GOAWAY (RFC 9113, 6.8)."""

    MAX_CLOSED_STREAMS = 1_024

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def client_protocol() -> ClientProtocol:
    """A connection that takes no pushes and gives each stream a small window."""
    protocol = ClientProtocol(
        H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    protocol.local_settings.update(
        {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES}
    )
    protocol.local_settings.acknowledge()
    return protocol


def code_name(code: ErrorCodes | int | None) -> str:
    """Of an error, as the RFC calls it."""
    return code.name if isinstance(code, ErrorCodes) else str(code)
