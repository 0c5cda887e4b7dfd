"""What `relayminer check` looks at in this machine: keys, certificate, addresses to listen on."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING

from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.keys import KeyLoadError, SupplierKeys, load_keys
from relayminer.net.errors import NetError
from relayminer.net.tls import expiry_of, server_context
from relayminer.plugin import load_key_providers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.config.entrance import TlsSettings
    from relayminer.config.settings import Settings

MIN_CERTIFICATE_DAYS = 14
_DAY_SECONDS = 86_400


def check_keys(settings: Settings) -> tuple[SupplierKeys, Finding]:
    """The supplier keys can be read."""
    try:
        keys = load_keys(settings.keys, load_key_providers().values())
    except KeyLoadError as error:
        return SupplierKeys([]), Finding(
            "keys", FAIL, "\n".join(error.problems), "mend the files named there"
        )
    if not keys:
        remedy = "set keys.keys_file, keys.keys_dir or keys.keyring"
        return keys, Finding("keys", FAIL, "no supplier key", remedy)
    shown = ", ".join(keys.addresses[:3]) + (", ..." if len(keys) > 3 else "")  # noqa: PLR2004
    return keys, Finding("keys", OK, f"{len(keys)}: {shown}")


def check_tls(settings: TlsSettings) -> Iterator[Finding]:
    """Certificate and key can be used, and for some time still."""
    name = "relayer.tls"
    if settings.certificate is None or settings.key is None:
        return
    try:
        server_context(
            settings.certificate,
            settings.key,
            client_ca=settings.client_ca,
            min_version=settings.min_version,
        )
        days = (expiry_of(settings.certificate) - time.time()) / _DAY_SECONDS
    except NetError as error:
        yield Finding(name, FAIL, str(error), "name PEM files that belong together")
        return
    if days < 0:
        yield Finding(name, FAIL, "the certificate has expired", "renew it")
        return
    result = OK if days > MIN_CERTIFICATE_DAYS else WARN
    yield Finding(name, result, f"good for {days:.0f} days", "" if result == OK else "renew it")


def check_listen(settings: Settings) -> Iterator[Finding]:
    """Nobody else listens where we want to."""
    wanted = {"relayer.listen": settings.relayer.listen}
    if settings.control.enabled:
        wanted["control.listen"] = settings.control.listen
        for index, address in enumerate(settings.control.also_listen):
            wanted[f"control.also_listen[{index}]"] = address
    if settings.console.enabled:
        wanted["console.listen"] = settings.console.listen
    if settings.debug.enabled:
        wanted["debug.listen"] = settings.debug.listen
    for name, address in wanted.items():
        host, _, port = address.rpartition(":")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104 - what an empty host means
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                yield Finding(
                    name,
                    WARN if taken else FAIL,
                    f"{address}: {error.strerror or error}",
                    "fine if relayminer runs already; else choose another port"
                    if taken
                    else "choose an address of this machine",
                )
            else:
                yield Finding(name, OK, f"{address} is free")
