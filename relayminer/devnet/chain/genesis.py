"""Where a chain starts: a genesis document in the chain's own form, and the state it describes.

Source: poktroll: x/*/module/genesis.go; the form is that of a real `genesis.json`.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, field, frozen
from google.protobuf import json_format
from nacl.signing import SigningKey as ConsensusKey

from relayminer.devnet.chain import accounts, params
from relayminer.devnet.chain.errors import GenesisError
from relayminer.devnet.chain.store import Store
from relayminer.devnet.chain.tables import (
    ACCOUNT_COUNT,
    ACCOUNTS,
    APPLICATIONS,
    BALANCES,
    CLAIMS,
    CONFIG_UPDATES,
    DIFFICULTIES,
    GATEWAYS,
    SERVICES,
    SHARED_HISTORY,
    SUPPLIERS,
    SUPPLY,
    VALIDATORS,
    Account,
    Validator,
)
from relayminer.devnet.chain.text import NANOSECONDS
from relayminer.devnet.chain.values import UPOKT, GenesisKeys
from relayminer.protocol.address import decode_address, encode_address, module_address
from relayminer.protocol.pb import (
    application_pb2,
    gateway_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
    tokenomics_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from google.protobuf.message import Message

M = TypeVar("M", bound="Message")

PARAM_TYPES: dict[str, type[Message]] = {
    "shared": shared_pb2.Params,
    "session": session_pb2.Params,
    "proof": proof_pb2.Params,
    "service": service_pb2.Params,
    "tokenomics": tokenomics_pb2.Params,
    "application": application_pb2.Params,
    "gateway": gateway_pb2.Params,
    "supplier": supplier_pb2.Params,
}
FRACTION_DIGITS = 9


@frozen(slots=True)
class Genesis:
    """A genesis: its document, and the private keys where they are known."""

    document: Mapping[str, Any]
    chain_id: str
    time_ns: int
    keys: GenesisKeys = field(factory=GenesisKeys)

    def consensus_key(self) -> ConsensusKey:
        """The Ed25519 key that signs blocks; derived, so a loaded genesis has one too."""
        return ConsensusKey(hashlib.sha256(f"consensus/{self.chain_id}".encode()).digest())


def load_genesis(document: Mapping[str, Any], keys: GenesisKeys | None = None) -> Genesis:
    """Take a genesis document (a parsed `genesis.json`); raises GenesisError when it is none.

    Args:
        document: members `chain_id`, `genesis_time`, `app_state` are needed.
        keys: private keys of its accounts, where the caller has them.
    """
    missing = [each for each in ("chain_id", "genesis_time", "app_state") if not document.get(each)]
    if missing:
        raise GenesisError(f"a genesis needs {', '.join(missing)}")
    try:
        time_ns = parse_time(str(document["genesis_time"]))
    except ValueError as error:
        raise GenesisError(f"genesis_time {document['genesis_time']!r} is no time") from error
    genesis = Genesis(document, str(document["chain_id"]), time_ns, keys or GenesisKeys())
    build_state(genesis)
    return genesis


def parse_time(text: str) -> int:
    """An RFC 3339 time in UTC (`...Z`), in nanoseconds since 1970; raises ValueError."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    if fraction and not fraction.isdigit():
        raise ValueError(f"no fraction of a second: {fraction}")
    return int(moment.timestamp()) * NANOSECONDS + int(
        fraction[:FRACTION_DIGITS].ljust(FRACTION_DIGITS, "0") or "0"
    )


def build_state(genesis: Genesis) -> Store:
    """The state before the first block; raises GenesisError for values that do not fit."""
    store = Store()
    app_state: Mapping[str, Any] = genesis.document["app_state"]
    try:
        _load_accounts(store, app_state)
        _load_params(store, app_state)
        _load_actors(store, app_state)
        _load_validators(store, app_state)
    except (json_format.ParseError, KeyError, TypeError, ValueError) as error:
        raise GenesisError(f"the genesis does not fit: {error}") from error
    for name in accounts.MODULE_PERMISSIONS:
        address = module_address(name)
        if accounts.find(store, address) is None:
            accounts.create(store, address, module_name=name)
    return store


def _load_accounts(store: Store, app_state: Mapping[str, Any]) -> None:
    next_number = 0
    for entry in app_state.get("auth", {}).get("accounts", ()):
        value = entry.get("base_account", entry)
        key = value.get("pub_key")
        number = int(value.get("account_number", 0))
        account = Account(
            value["address"],
            number,
            int(value.get("sequence", 0)),
            base64.b64decode(key["key"]) if key else None,
            entry.get("name", ""),
            tuple(entry.get("permissions", ())),
        )
        store.set(ACCOUNTS, account.address, account)
        next_number = max(next_number, number + 1)
    store.set(ACCOUNT_COUNT, "next", next_number)
    for entry in app_state.get("bank", {}).get("balances", ()):
        for held in entry["coins"]:
            denom, amount = held["denom"], int(held["amount"])
            store.set(BALANCES, (entry["address"], denom), amount)
            store.set(SUPPLY, denom, (store.get(SUPPLY, denom) or 0) + amount)


def _load_params(store: Store, app_state: Mapping[str, Any]) -> None:
    for module, kind in PARAM_TYPES.items():
        values = app_state.get(module, {}).get("params")
        if values:
            params.put(store, module, _parse(kind, values))
    for entry in app_state.get("shared", {}).get("params_history", ()):
        update = _parse(shared_pb2.ParamsUpdate, entry)
        store.set(SHARED_HISTORY, update.effective_height, update.params)


def _load_actors(store: Store, app_state: Mapping[str, Any]) -> None:
    for service in _entries(app_state, "service", "service_list", shared_pb2.Service):
        store.set(SERVICES, service.id, service)
    difficulty_type = service_pb2.RelayMiningDifficulty
    for difficulty in _entries(
        app_state, "service", "relay_mining_difficulty_list", difficulty_type
    ):
        store.set(DIFFICULTIES, difficulty.service_id, difficulty)
    for application in _entries(
        app_state, "application", "application_list", application_pb2.Application
    ):
        store.set(APPLICATIONS, application.address, application)
    for gateway in _entries(app_state, "gateway", "gateway_list", gateway_pb2.Gateway):
        store.set(GATEWAYS, gateway.address, gateway)
    for supplier in _entries(app_state, "supplier", "supplier_list", shared_pb2.Supplier):
        _load_supplier(store, supplier)
    for claim in _entries(app_state, "proof", "claim_list", proof_pb2.Claim):
        key = (claim.session_header.session_id, claim.supplier_operator_address)
        store.set(CLAIMS, key, claim)


def _load_supplier(store: Store, supplier: shared_pb2.Supplier) -> None:
    """A supplier; without a history its services are active from height 1."""
    updates = list(supplier.service_config_history) or [
        shared_pb2.ServiceConfigUpdate(
            operator_address=supplier.operator_address, service=config, activation_height=1
        )
        for config in supplier.services
    ]
    for update in updates:
        key = (update.service.service_id, update.activation_height, update.operator_address)
        store.set(CONFIG_UPDATES, key, update)
    record = shared_pb2.Supplier()
    record.CopyFrom(supplier)
    record.ClearField("services")
    record.ClearField("service_config_history")
    store.set(SUPPLIERS, record.operator_address, record)


def _load_validators(store: Store, app_state: Mapping[str, Any]) -> None:
    """The validators of the genesis transactions, with their stake moved to the bonded pool."""
    pool = module_address("bonded_tokens_pool")
    for tx in app_state.get("genutil", {}).get("gen_txs", ()):
        for message in tx["body"]["messages"]:
            if not str(message.get("@type", "")).endswith("MsgCreateValidator"):
                continue
            operator = message["validator_address"]
            account = encode_address(decode_address(operator, "poktvaloper"))
            stake = int(message["value"]["amount"])
            rate = Decimal(message["commission"]["rate"])
            store.set(
                VALIDATORS,
                operator,
                Validator(operator, account, stake, rate, ((account, stake),)),
            )
            held = store.get(BALANCES, (account, UPOKT)) or 0
            if held < stake:
                raise ValueError(f"validator {operator} cannot pay its stake of {stake}")
            store.set(BALANCES, (account, UPOKT), held - stake)
            pooled = store.get(BALANCES, (pool, UPOKT)) or 0
            store.set(BALANCES, (pool, UPOKT), pooled + stake)
            _sign_gen_tx(store, account, tx)


def _sign_gen_tx(store: Store, address: str, tx: Mapping[str, Any]) -> None:
    """A genesis transaction counts as its signer's first."""
    account = accounts.find(store, address)
    infos = tx.get("auth_info", {}).get("signer_infos", ())
    if account is None or not infos:
        return
    key = base64.b64decode(infos[0]["public_key"]["key"])
    store.set(ACCOUNTS, address, evolve(account, public_key=key, sequence=account.sequence + 1))


def _entries(app_state: Mapping[str, Any], module: str, name: str, kind: type[M]) -> Iterator[M]:
    """The entries of a list, which a document may name in camel case or in snake case."""
    first, *rest = name.split("_")
    camel = first + "".join(each.capitalize() for each in rest)
    values = app_state.get(module, {})
    for entry in (*(values.get(camel) or ()), *(values.get(name) or ())):
        yield _parse(kind, entry)


def _parse(kind: type[M], values: Mapping[str, Any]) -> M:
    return json_format.ParseDict(dict(values), kind(), ignore_unknown_fields=True)
