"""Where a relay goes: the backend's address and the client's path and query, merged.

Source of the rules: reference relayer.md 2.3 (`pocket-relay-miner: relayer/proxy.go`).
"""

from __future__ import annotations

import posixpath
import re
from urllib.parse import parse_qsl, quote, quote_plus, unquote_to_bytes, urlsplit

from attrs import frozen

from relayminer.net.errors import BadUrlError

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "grpc": 80, "grpcs": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
# What Go leaves as it is in a path.
_PATH_SAFE = b"/$&+,:;=@!*'()~"


@frozen
class Origin:
    """Scheme, host and port of a server.

    Attributes:
        host: name or address, without brackets.
        port: 1 to 65535.
    """

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What the Host header says: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"


@frozen
class BackendUrl:
    """A backend's URL, taken apart.

    Attributes:
        path: decoded, without a trailing slash, so empty for the root.
        query: parameters in their order.
        user_info: `user:password` in front of the host, or empty.
    """

    origin: Origin
    path: bytes
    query: tuple[tuple[str, str], ...]
    user_info: str = ""


def parse_backend_url(url: str) -> BackendUrl:
    """Take a configured URL apart; `host:port` alone means `http://host:port`.

    Raises:
        BadUrlError: there is no host, or the port is not a number.
    """
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise BadUrlError(f"{url!r}: {error}") from None
    if not parts.hostname:
        raise BadUrlError(f"{url!r}: no host")
    scheme = parts.scheme.lower()
    if port is None:
        port = DEFAULT_PORTS.get(scheme, 0)
    if not port:
        raise BadUrlError(f"{url!r}: scheme {scheme!r} has no default port, give one")
    user_info, separator, _ = parts.netloc.rpartition("@")
    return BackendUrl(
        Origin(scheme, parts.hostname, port),
        unquote_to_bytes(parts.path).rstrip(b"/"),
        tuple(_parameters(parts.query)),
        user_info if separator else "",
    )


def request_target(backend: BackendUrl, base_path: str, client_url: str) -> str:
    """Path and query to ask the backend for.

    Args:
        backend: the endpoint.
        base_path: of the configuration; when not empty it stands in for the endpoint's own path.
        client_url: what the relay request says, absolute or only a path.

    Raises:
        BadUrlError: the client's URL cannot be parsed.
    """
    path, query = _split_client_url(client_url)
    prefix = unquote_to_bytes(base_path).rstrip(b"/") if base_path else b""
    target = quote(_merge_paths(prefix or backend.path, path), safe=_PATH_SAFE) or "/"
    parameters = [*backend.query, *_parameters(query)]
    if not parameters:
        return target
    # A stable sort: of one name, the backend's values come before the client's.
    parameters.sort(key=lambda parameter: parameter[0])
    return f"{target}?" + "&".join(
        f"{_form_encoded(name)}={_form_encoded(value)}" for name, value in parameters
    )


def _split_client_url(url: str) -> tuple[bytes, str]:
    if _FORBIDDEN.search(url):
        raise BadUrlError("the URL holds white space or control characters")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadUrlError(f"the URL cannot be parsed: {error}") from None
    if _BAD_ESCAPE.search(parts.path):
        raise BadUrlError("the URL's path holds a bad percent escape")
    path = parts.path
    if url.startswith("//"):
        # `//rpc` names no host in a relay request: it is a path with a doubled slash.
        path = url.partition("?")[0].partition("#")[0]
    return unquote_to_bytes(path), parts.query


def _merge_paths(prefix: bytes, path: bytes) -> bytes:
    if path == b"/":
        path = b""
    if not prefix:
        merged = path
    elif not path:
        merged = prefix
    elif path == prefix or path.startswith(prefix + b"/"):
        merged = path
    else:
        merged = prefix + b"/" + path
    return _clean(merged) if merged else b""


def _clean(path: bytes) -> bytes:
    cleaned = posixpath.normpath(b"/" + path)
    # POSIX keeps two leading slashes apart from one; a URL does not.
    return b"/" + cleaned.lstrip(b"/")


def _parameters(query: str) -> list[tuple[str, str]]:
    # Go drops a pair with a semicolon or a bad escape and keeps the rest.
    kept = "&".join(
        pair for pair in query.split("&") if ";" not in pair and not _BAD_ESCAPE.search(pair)
    )
    return parse_qsl(kept, keep_blank_values=True, errors="surrogateescape")


def _form_encoded(text: str) -> str:
    return quote_plus(text, errors="surrogateescape")
