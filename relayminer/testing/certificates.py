"""Certificates for tests: an authority, and whom it vouches for."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

_DAY = dt.timedelta(days=1)


@frozen
class Identity:
    """A certificate and its key, as files.

    Attributes:
        certificate: PEM, behind it that of the authority.
        key: PEM, not encrypted.
        both: the two in one file.
    """

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates.

    Args:
        folder: where its own certificate and those of others are written.
        name: of itself.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._issued = 1
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)  # noqa: FBT003 - critical
        self._own = _pem(builder.sign(self._key, hashes.SHA256()))
        self.file = folder / f"{name}.pem"
        """What those who believe it need."""
        self.file.write_bytes(self._own)

    def issue(self, name: str = "node", *hosts: str, expired: bool = False) -> Identity:
        """A certificate for `hosts`, names or addresses; for 127.0.0.1 when there are none.

        Args:
            name: of its owner, and of its files.
            hosts: whom it is for.
            expired: whether its time is over.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_host(host) for host in hosts or ("127.0.0.1",)])
        builder = self._builder(_name(name), key.public_key(), expired=expired)
        made = builder.add_extension(names, False).sign(self._key, hashes.SHA256())  # noqa: FBT003 - not critical
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        chain = _pem(made) + self._own
        files = [self._folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")]
        for file, content in zip(files, (chain, secret, secret + chain), strict=True):
            draft = file.with_suffix(".draft")
            draft.write_bytes(content)
            draft.replace(file)
        return Identity(*files)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        self._issued += 1
        now = dt.datetime.now(dt.UTC)
        end = now - _DAY if expired else now + _DAY
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(self._issued)
            .not_valid_before(end - 2 * _DAY)
            .not_valid_after(end)
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
