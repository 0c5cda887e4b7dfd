"""Where the store is: a Redis URL, understood by redis-py, and a Trio stream to it."""

from __future__ import annotations

import ssl
from typing import Any, Final

import attrs
import trio
from redis.connection import SSLConnection, parse_url

from relayminer.state.errors import StoreUrlError

DEFAULT_PORT: Final = 6379
SCHEMES: Final = ("redis://", "rediss://", "unix://")


@attrs.frozen
class Target:
    """One server: TCP (`host`, `port`), TLS over it, or a Unix socket (`path`)."""

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str = ""
    database: int = 0
    username: str = ""
    password: str = attrs.field(default="", repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        """The address without credentials, for messages and logs."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"


def parse_target(url: str) -> Target:
    """Understands `redis://`, `rediss://` (TLS) and `unix://` URLs as redis-py does.

    Raises:
        StoreUrlError: the URL has another scheme or an option that redis-py refuses.
    """
    if not url.startswith(SCHEMES):
        raise StoreUrlError(f"a Redis URL starts with one of {', '.join(SCHEMES)}")
    try:
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py
        if "," in str(options.get("host", "")):
            raise StoreUrlError("a Redis URL names one host; this one has a comma in it")
        return Target(
            host=options.get("host", "localhost"),
            port=int(options.get("port", DEFAULT_PORT)),
            path=options.get("path", ""),
            database=int(options.get("db", 0)),
            username=options.get("username") or "",
            password=options.get("password") or "",
            tls=_tls_context(options) if options.get("connection_class") is SSLConnection else None,
        )
    except (ValueError, TypeError, OSError) as error:
        raise StoreUrlError(f"the Redis URL has a part that is not valid: {error}") from error


def _tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    """The TLS settings that redis-py's `ssl_*` options describe, at least TLS 1.2."""
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"),
        capath=options.get("ssl_ca_path"),
        cadata=options.get("ssl_ca_data"),
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    requirement = str(options.get("ssl_cert_reqs", "required")).lower()
    if str(options.get("ssl_check_hostname", "true")).lower() in {"false", "0", "no"}:
        context.check_hostname = False
    if requirement in {"none", "optional"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if requirement == "none" else ssl.CERT_OPTIONAL
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(
            certificate, options.get("ssl_keyfile"), options.get("ssl_password")
        )
    return context


async def open_stream(target: Target) -> trio.abc.Stream:
    """Connects to `target`; OSError and ssl.SSLError (an OSError) come out as they are."""
    if target.path:
        return await trio.open_unix_socket(target.path)
    stream = await trio.open_tcp_stream(target.host, target.port)
    if target.tls is None:
        return stream
    secure = trio.SSLStream(stream, target.tls, server_hostname=target.host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secure)
        raise
    return secure
