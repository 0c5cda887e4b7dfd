"""What the command line of `relay` says, and what of it cannot be meant."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - attrs resolves annotations at run time
from typing import Any, Final

from attrs import field, frozen

from relayminer.errors import RelayMinerError
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.lines import parse_url
from relayminer.gateway.modes import GRPC, STREAM

_SERVICE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCHEMES: Final = ("http", "https", "ws", "wss")


class RelayInputError(RelayMinerError):
    """What was asked for cannot be sent."""


@frozen(kw_only=True)
class RelayOptions:
    """What the command line says; empty texts and zeros mean the default."""

    mode: str
    service: str = ""
    # Who sends.
    devnet_home: Path | None = None
    localnet: bool = False
    node: str = ""
    grpc_tls: bool = False
    application: str = ""
    app_priv_key: str = field(default="", repr=False)
    gateway_priv_key: str = field(default="", repr=False)
    keyring_backend: str = ""
    keyring_dir: Path | None = None
    app_key: str = ""
    gateway_key: str = ""
    keys_file: Path | None = None
    # To whom.
    supplier: str = ""
    all_suppliers: bool = False
    url: str = ""
    timeout: float = 30.0
    # What.
    method: str = ""
    params: Any = ()
    payload: str = ""
    http_method: str = "GET"
    path: str = ""
    batches: int = 0
    # How often.
    load_test: bool = False
    count: int = 1
    concurrency: int = 10
    rps: float = 0.0
    min_success: float = 100.0
    # Simulated.
    simulate: bool = False
    sim_key_id: str = ""
    sim_app_pubkey: str = field(default="", repr=False)
    sim_gateway_pubkeys: tuple[str, ...] = ()


def check_options(options: RelayOptions, *, explicit: frozenset[str]) -> None:
    """Refuse what cannot be meant.

    Args:
        options: all of them.
        explicit: names of those that were written.

    Raises:
        RelayInputError: the first contradiction.
    """
    if options.service and not _SERVICE.fullmatch(options.service):
        raise RelayInputError("--service: at most 64 letters, digits, `_` and `-`")
    if options.url and not (options.mode == GRPC and "://" not in options.url):
        try:
            parse_url(options.url, _SCHEMES)
        except GatewayError as error:
            raise RelayInputError(f"--relayer-url: {error}") from error
    for complaint in (_key_sources(options), _load(options, explicit), _simulation(options)):
        if complaint:
            raise RelayInputError(complaint)


def _key_sources(options: RelayOptions) -> str:
    sources = {
        "--app-priv-key and --gateway-priv-key": options.app_priv_key or options.gateway_priv_key,
        "--keyring-backend": options.keyring_backend,
        "--keys-file": options.keys_file,
        "--localnet": options.localnet,
    }
    named = [name for name, value in sources.items() if value]
    return f"keys come from one source, not from {' and '.join(named)}" if len(named) > 1 else ""


def _load(options: RelayOptions, explicit: frozenset[str]) -> str:
    if options.mode == STREAM and (options.load_test or options.count > 1):
        return "stream sends one relay: neither --load-test nor --count"
    if options.batches and options.mode != STREAM:
        return "--batches is for stream"
    if options.load_test:
        return ""
    for name, flag in (("count", "--count"), ("rps", "--rps")):
        if name in explicit and getattr(options, name) not in {0, 1}:
            return f"{flag} needs --load-test"
    if "concurrency" in explicit and options.concurrency > 1:
        return "--concurrency needs --load-test"
    return ""


def _simulation(options: RelayOptions) -> str:
    if not options.simulate:
        return "--sim-key-id needs --simulate" if options.sim_key_id else ""
    if not options.sim_key_id:
        return "--simulate needs --sim-key-id: the identity that the relayer has pinned"
    if not options.service:
        return "--simulate needs --service"
    return ""
