"""TLS contexts of both sides: what is accepted, who is believed."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from attrs import frozen
from cryptography import x509

from relayminer.net.errors import TlsSetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HTTP1: Final = "http/1.1"
HTTP2: Final = "h2"
VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@frozen
class ClientTls:
    """How to speak TLS with one server.

    Attributes:
        server_name: whom the certificate must be for; empty: the host of the URL.
    """

    context: ssl.SSLContext
    server_name: str = ""


def client_context(
    *, ca_file: Path | None = None, is_insecure: bool = False, protocols: Sequence[str] = ()
) -> ssl.SSLContext:
    """A context for connections to servers.

    Args:
        ca_file: certificates to believe instead of the system's.
        is_insecure: believe anybody.
        protocols: offered by ALPN, the preferred one first.

    Raises:
        TlsSetupError: the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise TlsSetupError(f"{ca_file}: {_reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def server_context(
    certificate: Path,
    key: Path,
    *,
    client_ca: Path | None = None,
    min_version: str = "1.2",
    protocols: Sequence[str] = (HTTP1,),
) -> ssl.SSLContext:
    """A context for connections from clients.

    Args:
        certificate: PEM, the server's own first, then those that lead to a root.
        key: PEM, not encrypted.
        client_ca: who must have signed a client's certificate; None asks for none.
        min_version: `1.2` or `1.3`.
        protocols: offered by ALPN, the preferred one first.

    Raises:
        TlsSetupError: a file cannot be used, or the key is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsSetupError(f"certificate {certificate} with key {key}: {_reason(error)}") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise TlsSetupError(f"client CA {client_ca}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(list(protocols))
    return context


def expiry_of(certificate: Path) -> float:
    """Unix time at which the time of the first certificate in a PEM file is over.

    Raises:
        TlsSetupError: it holds none.
    """
    try:
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError) as error:
        raise TlsSetupError(f"certificate {certificate}: {_reason(error)}") from None
    return first.not_valid_after_utc.timestamp()


def _no_password() -> bytes:
    # Without this OpenSSL would ask whoever sits at the terminal.
    raise ValueError("the key is encrypted; store it without a passphrase")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
