"""Accounts of the auth module: numbers, sequences, public keys, module accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from cosmpy.protos.cosmos.auth.v1beta1.auth_pb2 import BaseAccount, ModuleAccount
from cosmpy.protos.cosmos.crypto.secp256k1.keys_pb2 import PubKey
from google.protobuf.any_pb2 import Any as AnyMessage

from relayminer.devnet.chain.tables import ACCOUNT_COUNT, ACCOUNTS, Account
from relayminer.protocol.address import module_address

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.devnet.chain.store import Store

PUBKEY_TYPE_URL = "/cosmos.crypto.secp256k1.PubKey"
GOV_ADDRESS = module_address("gov")
"""The authority of parameter updates."""

MODULE_PERMISSIONS: dict[str, tuple[str, ...]] = {
    "fee_collector": (),
    "distribution": (),
    "mint": ("minter",),
    "bonded_tokens_pool": ("burner", "staking"),
    "not_bonded_tokens_pool": ("burner", "staking"),
    "gov": ("burner",),
    "service": ("minter", "burner", "staking"),
    "gateway": ("minter", "burner", "staking"),
    "application": ("minter", "burner", "staking"),
    "supplier": ("minter", "burner", "staking"),
    "proof": ("minter", "burner", "staking"),
    "tokenomics": ("minter", "burner", "staking"),
}
"""Module accounts and what they may do with coins."""


def pack_any(type_url: str, message: Message) -> AnyMessage:
    """`message` in an Any with a type URL of the Cosmos form (leading slash only)."""
    return AnyMessage(type_url=type_url, value=message.SerializeToString(deterministic=True))


def find(store: Store, address: str) -> Account | None:
    """The account of `address`, None when the chain has never seen it."""
    return store.get(ACCOUNTS, address)


def create(store: Store, address: str, *, module_name: str = "") -> Account:
    """A new account with the next number."""
    number = store.get(ACCOUNT_COUNT, "next") or 0
    store.set(ACCOUNT_COUNT, "next", number + 1)
    permissions = MODULE_PERMISSIONS.get(module_name, ())
    account = Account(address, number, module_name=module_name, permissions=permissions)
    store.set(ACCOUNTS, address, account)
    return account


def ensure(store: Store, address: str) -> Account:
    """The account of `address`, made when there is none."""
    return find(store, address) or create(store, address)


def set_public_key(store: Store, account: Account, public_key: bytes) -> Account:
    """The account with its public key (33 bytes) on chain."""
    changed = evolve(account, public_key=public_key)
    store.set(ACCOUNTS, account.address, changed)
    return changed


def next_sequence(store: Store, account: Account) -> Account:
    """The account with its sequence one further."""
    changed = evolve(account, sequence=account.sequence + 1)
    store.set(ACCOUNTS, account.address, changed)
    return changed


def as_any(account: Account) -> AnyMessage:
    """The account as the auth query gives it: BaseAccount or ModuleAccount in an Any."""
    base = BaseAccount(
        address=account.address, account_number=account.number, sequence=account.sequence
    )
    if account.public_key is not None:
        base.pub_key.CopyFrom(pack_any(PUBKEY_TYPE_URL, PubKey(key=account.public_key)))
    if not account.module_name:
        return pack_any("/cosmos.auth.v1beta1.BaseAccount", base)
    module = ModuleAccount(
        base_account=base, name=account.module_name, permissions=account.permissions
    )
    return pack_any("/cosmos.auth.v1beta1.ModuleAccount", module)
