"""Who sends a relay: the keys, the application, the node to ask; and the session that it gives."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from relayminer.cli.relay_options import RelayInputError, RelayOptions
from relayminer.config.settings import KeyringSettings
from relayminer.devnet.info import Party, read_info
from relayminer.gateway.simulated import simulated_session
from relayminer.keys.files import Found, parse_hex_key, read_secret_file, read_yaml
from relayminer.keys.keyring import read_keyring
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.gateway.chain import GatewayChain, OpenSession

# The public keys of Tilt's local network (operations.md 4.4). They protect nothing.
_LOCALNET_APPLICATIONS: Final = (
    "2d00ef074d9b51e46886dc9a1df11e7b986611d0f336bdcf1f0adce3e037ec0a",
    "7e7571a8c61b0887ff8a9017bb4ad83c016b193234f9dc8b6a8ce10c7c483600",
    "7cbbaa043b9b63baa7d6bb087483b0a6a9f82596c19dce4c5028eb43e5b63674",
    "84e4f2257f24d9e1517d414b834bbbfa317e0d53fef21c1528a07a5fa8c70d57",
    "50058b14b956cd3071aad111f3f2a0d9a00b7028edde6c713e838b7522a626de",
)
_LOCALNET_GATEWAY: Final = "cf09805c952fa999e9a63a9f434147b0a5abfd10f268879694c6b5a70e1ae177"
_LOCALNET_SUPPLIER: Final = "pokt19a3t4yunp0dlpfjrp7qwnzwlrzd5fzs2gjaaaj"
_LOCALNET_SERVICES: Final = (
    "develop-http",
    "develop-websocket",
    "develop-stream",
    "develop-grpc",
    "develop-cometbft",
)
LOCALNET_NODE: Final = "localhost:9090"
LOCALNET_RELAYER: Final = "http://localhost:8180"
DEFAULT_RELAYER: Final = "http://localhost:8080"


@frozen(kw_only=True)
class Sender:
    """Who sends, and where the chain is.

    Attributes:
        node: gRPC address; empty for simulated relays, which ask no chain.
        key: signs.
        supplier: whom to ask; empty: the session's first.
        url: the relayer; empty: where the supplier staked it.
        simulation: application key and gateway keys of a simulated identity.
    """

    node: str
    service: str
    application: str
    key: SigningKey = field(repr=False)
    tls: bool = False
    supplier: str = ""
    url: str = ""
    simulation: tuple[bytes, tuple[bytes, ...]] | None = None

    async def open_session(self, chain: GatewayChain | None) -> OpenSession:
        """The session that relays are sent in now.

        Raises:
            GatewayError: the chain refused or is not there.
        """
        if chain is not None:
            return await chain.open_session(self.service, self.application)
        if self.simulation is None:
            raise RelayInputError("no node to ask for the session")
        application_key, gateway_keys = self.simulation
        return simulated_session(
            self.service,
            self.supplier,
            self.url,
            application_key=application_key,
            gateway_keys=gateway_keys,
            now_seconds=int(time.time()),
            nonce=os.urandom(8),
        )


def sender_of(options: RelayOptions) -> Sender:
    """Who sends: simulated, Tilt's local network, a chain with real keys, or a simulated chain.

    Raises:
        RelayInputError: keys or names are missing.
        DevnetInfoError: no simulated chain where one was expected.
    """
    if options.simulate:
        return _simulated_sender(options)
    if not options.node and not options.localnet:
        return _devnet_sender(options)
    sources = (options.keys_file, options.keyring_backend, options.app_priv_key)
    if not options.localnet and not options.gateway_priv_key and not any(sources):
        raise RelayInputError(
            "--node needs --keys-file, --keyring-backend or --gateway-priv-key: a relay is signed"
            " with a real key"
        )
    if not options.service and not options.localnet:
        raise RelayInputError("--node needs --service")
    application, gateway = _keys_of(options)
    if application is None and not options.application:
        raise RelayInputError(
            "name the application: --application pokt1..., or its key in the file"
        )
    key = gateway or application
    if key is None:
        raise RelayInputError("no key to sign with: a relay is signed with a real key")
    return Sender(
        node=options.node or LOCALNET_NODE,
        tls=options.grpc_tls,
        service=options.service or _LOCALNET_SERVICES[0],
        application=options.application or (application.address if application else ""),
        key=key,
        supplier=options.supplier or (_LOCALNET_SUPPLIER if options.localnet else ""),
        url=options.url or (LOCALNET_RELAYER if options.localnet else ""),
    )


def _devnet_sender(options: RelayOptions) -> Sender:
    if options.devnet_home is None:
        raise RelayInputError("--node or --devnet says where the chain is")
    info = read_info(options.devnet_home)
    service = options.service or info.service_ids[0]
    named: list[Party] = [
        party
        for party in info.applications
        if (party.address == options.application if options.application else True)
        and service in party.service_ids
    ]
    if not named:
        raise RelayInputError(
            f"no application of this devnet is staked for {service!r}: services are"
            f" {', '.join(info.service_ids)}"
        )
    signer = info.gateways[0] if info.gateways else named[0]
    return Sender(
        node=info.grpc_url,
        service=service,
        application=named[0].address,
        key=SigningKey(signer.secret),
        supplier=options.supplier,
        url=options.url,
    )


def _simulated_sender(options: RelayOptions) -> Sender:
    application, gateway = _keys_of(options)
    application_key = _public_key("--sim-app-pubkey", options.sim_app_pubkey)
    application_key = application_key or (application.public_key if application else b"")
    gateway_keys = tuple(
        _public_key("--sim-gateway-pubkeys", text) for text in options.sim_gateway_pubkeys
    ) or ((gateway.public_key,) if gateway else ())
    supplier = options.supplier or (_LOCALNET_SUPPLIER if options.localnet else "")
    if gateway is None or not application_key or not gateway_keys:
        raise RelayInputError(
            "--simulate needs the gateway's key to sign with, and the application's public key"
        )
    if not supplier:
        raise RelayInputError("--simulate needs --supplier")
    default = LOCALNET_RELAYER if options.localnet else DEFAULT_RELAYER
    return Sender(
        node="",
        service=options.service,
        application="",
        key=gateway,
        supplier=supplier,
        url=options.url or default,
        simulation=(application_key, gateway_keys),
    )


def _public_key(flag: str, text: str) -> bytes:
    if not text:
        return b""
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 33:  # noqa: PLR2004 - a compressed key
        raise RelayInputError(f"{flag}: not a compressed public key of 66 hex digits")
    return key


def _keys_of(options: RelayOptions) -> tuple[SigningKey | None, SigningKey | None]:
    """The application's and the gateway's key, from whichever source was named."""
    found = Found()
    application: SigningKey | None = None
    gateway: SigningKey | None = None
    if options.localnet:
        service = options.service or _LOCALNET_SERVICES[0]
        number = _LOCALNET_SERVICES.index(service) if service in _LOCALNET_SERVICES else 0
        application = SigningKey(bytes.fromhex(_LOCALNET_APPLICATIONS[number]))
        gateway = SigningKey(bytes.fromhex(_LOCALNET_GATEWAY))
    elif options.keys_file is not None:
        application, gateway = _keys_of_file(options.keys_file, found)
    elif options.keyring_backend:
        application = _key_of_keyring(options, options.app_key, found)
        gateway = _key_of_keyring(options, options.gateway_key, found)
    else:
        application = _key_of_text("--app-priv-key", options.app_priv_key, found)
        gateway = _key_of_text("--gateway-priv-key", options.gateway_priv_key, found)
    if found.problems:
        raise RelayInputError("; ".join(found.problems))
    return application, gateway


def _key_of_text(flag: str, text: str, found: Found) -> SigningKey | None:
    return parse_hex_key(flag, text.strip().removeprefix("0X"), found) if text else None


def _key_of_keyring(options: RelayOptions, name: str, found: Found) -> SigningKey | None:
    if not name:
        return None
    read = read_keyring(
        KeyringSettings(backend=options.keyring_backend, dir=options.keyring_dir, key_names=(name,))
    )
    found.problems.extend(read.problems)
    return read.keys[0] if read.keys else None


def _keys_of_file(path: Path, found: Found) -> tuple[SigningKey | None, SigningKey | None]:
    """Of a client key file (crypto.md 2.9)."""
    data = read_secret_file(path, found)
    document = read_yaml(path, data, found) if data is not None else None
    fields = document if isinstance(document, dict) else {}
    application = _only_key(path, fields, ("applications",), found)
    gateway = _only_key(path, fields, ("gateway", "gateways"), found)
    return application, gateway


def _only_key(
    path: Path, fields: dict[str, Any], names: tuple[str, ...], found: Found
) -> SigningKey | None:
    """The one key under `names`, each a text or a list; None when there is none."""
    entries: list[Any] = []
    for name in names:
        value = fields.get(name) or []
        entries += value if isinstance(value, list) else [value]
    if not entries:
        return None
    if len(entries) > 1:
        found.problems.append(f"{path}: more than one key under {' and '.join(names)}")
    entry = entries[0]
    # White space first, then the prefix in either case: other than in a supplier's key file.
    text = entry.strip().removeprefix("0X") if isinstance(entry, str) else entry
    return parse_hex_key(f"{path}: {names[0]}", text, found)
