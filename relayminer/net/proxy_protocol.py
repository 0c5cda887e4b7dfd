"""The PROXY protocol, versions 1 and 2: a load balancer says whose connection it passes on.

Source of the rules: HAProxy's specification, "The PROXY protocol", sections 2.1 and 2.2.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from attrs import frozen

from relayminer.net.errors import ProxyHeaderError

MAX_HEADER_BYTES: Final = 4_096
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_START: Final = b"PROXY "
_V1_MAX_BYTES: Final = 107
_FIXED: Final = struct.Struct(">12sBBH")
_VERSION_2: Final = 0x20
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESS_BYTES: Final = {_UNSPECIFIED: 0, _INET: 12, _INET6: 36, _UNIX: 216}
_STREAM, _DATAGRAM = 1, 2
_MAX_PORT: Final = 65_535
_V1_FIELDS: Final = 6


@frozen
class ProxyHeader:
    """What stands before the connection's own bytes.

    Attributes:
        size: of the header in bytes.
        source: address and port of the client; None when the balancer speaks for itself, or for
            somebody without an address.
    """

    size: int
    source: tuple[str, int] | None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with, None when more of it has to come.

    Raises:
        ProxyHeaderError: there is none, or it breaks the rules.
    """
    if data.startswith(_SIGNATURE):
        return _version_2(data)
    if data.startswith(_V1_START):
        return _version_1(data)
    if _SIGNATURE.startswith(data) or _V1_START.startswith(data):
        return None
    raise ProxyHeaderError("no PROXY header")


def _version_1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_V1_MAX_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_MAX_BYTES:
            raise ProxyHeaderError("a line without an end")
        return None
    size = len(line) + len(end)
    fields = line.split(b" ")
    if fields[1] == b"UNKNOWN":
        return ProxyHeader(size, None)
    kinds = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}
    if len(fields) != _V1_FIELDS or fields[1] not in kinds:
        raise ProxyHeaderError("not a line of version 1")
    kind = kinds[fields[1]]
    try:
        source, _ = (kind(field.decode("ascii")) for field in fields[2:4])
    except ValueError as error:
        raise ProxyHeaderError(f"not an address: {error}") from None
    port, _ = (_port(field) for field in fields[4:])
    return ProxyHeader(size, (str(source), port))


def _port(field: bytes) -> int:
    is_short = 0 < len(field) <= len(str(_MAX_PORT))
    if not field.isdigit() or not is_short or int(field) > _MAX_PORT or field != b"%d" % int(field):
        raise ProxyHeaderError("not a port")
    return int(field)


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED.size:
        return None
    _, version_command, family_kind, length = _FIXED.unpack_from(data)
    command, family, kind = version_command & 0x0F, family_kind >> 4, family_kind & 0x0F
    if version_command & 0xF0 != _VERSION_2 or command not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError("not version 2")
    size = _FIXED.size + length
    if size > MAX_HEADER_BYTES:
        raise ProxyHeaderError("a header that is too long")
    if family not in _ADDRESS_BYTES or kind not in {_UNSPECIFIED, _STREAM, _DATAGRAM}:
        raise ProxyHeaderError("an unknown kind of address")
    if command == _PROXY and length < _ADDRESS_BYTES[family]:
        raise ProxyHeaderError("an address that is cut off")
    if len(data) < size:
        return None
    if command == _LOCAL or kind != _STREAM or family not in {_INET, _INET6}:
        return ProxyHeader(size, None)
    width = 4 if family == _INET else 16
    place = data[_FIXED.size : size]
    (port,) = struct.unpack_from(">H", place, 2 * width)
    return ProxyHeader(size, (str(ip_address(place[:width])), port))
