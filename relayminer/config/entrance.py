"""Settings of what a client's connection passes before it is served, and their checks."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path  # noqa: TC003 - cattrs reads the types
from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.config.complaint import Complaint, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_VERSIONS = ("1.2", "1.3")


@frozen(kw_only=True)
class TlsSettings:
    """TLS at the relayer's address: with a certificate, it speaks nothing else."""

    certificate: Path | None = None
    """PEM: the node's own first, then those that lead to a root."""
    key: Path | None = None
    """PEM, not encrypted."""
    client_ca: Path | None = None
    """Who must have signed a client's certificate; without it none is asked for."""
    min_version: str = "1.2"
    handshake_timeout_seconds: float = 10.0
    max_handshakes: int = 1_000
    """Unfinished at once; a further one takes the place of the oldest."""


@frozen(kw_only=True)
class ProxyProtocolSettings:
    """Load balancers that say whose connection they pass on (versions 1 and 2)."""

    trusted: tuple[str, ...] = ()
    """Their networks, as in 10.0.0.0/8; connections from there must begin with a PROXY header."""


def check_entrance(key: Key, tls: TlsSettings, proxy: ProxyProtocolSettings) -> Iterator[Complaint]:
    """A certificate has its key, and networks are networks."""
    if (tls.certificate is None) is not (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        yield Complaint(
            (*key, "tls", missing), None, "a certificate and its key belong together", "name both"
        )
    if tls.client_ca is not None and tls.certificate is None:
        yield Complaint(
            (*key, "tls", "client_ca"),
            str(tls.client_ca),
            "clients show certificates over TLS only",
            "add `certificate:` and `key:`",
        )
    if tls.min_version not in MIN_VERSIONS:
        yield Complaint(
            (*key, "tls", "min_version"),
            tls.min_version,
            "not a version of TLS that is safe",
            f"write one of {', '.join(MIN_VERSIONS)}, in quotes",
        )
    for name in ("handshake_timeout_seconds", "max_handshakes"):
        if not getattr(tls, name):
            yield Complaint((*key, "tls", name), 0, "0 would stop everything", "write more than 0")
    for index, network in enumerate(proxy.trusted):
        try:
            ip_network(network)
        except ValueError as error:
            place = (*key, "proxy_protocol", "trusted", index)
            yield Complaint(place, network, str(error), "write it as 10.0.0.0/8 or 192.0.2.7")
