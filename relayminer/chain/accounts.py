"""Accounts of every type that embeds a base account."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from cosmpy.protos.cosmos.auth.v1beta1 import auth_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from cosmpy.protos.cosmos.vesting.v1beta1 import vesting_pb2

from relayminer.chain.errors import ChainQueryError

PUBLIC_KEY_TYPE = "cosmos.crypto.secp256k1.PubKey"

# Every account type that embeds a BaseAccount, and the fields that lead to it.
_ACCOUNT_TYPES: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "cosmos.auth.v1beta1.BaseAccount": (auth_pb2.BaseAccount, ()),
    "cosmos.auth.v1beta1.ModuleAccount": (auth_pb2.ModuleAccount, ("base_account",)),
    "cosmos.vesting.v1beta1.BaseVestingAccount": (
        vesting_pb2.BaseVestingAccount,
        ("base_account",),
    ),
    "cosmos.vesting.v1beta1.ContinuousVestingAccount": (
        vesting_pb2.ContinuousVestingAccount,
        ("base_vesting_account", "base_account"),
    ),
    "cosmos.vesting.v1beta1.DelayedVestingAccount": (
        vesting_pb2.DelayedVestingAccount,
        ("base_vesting_account", "base_account"),
    ),
    "cosmos.vesting.v1beta1.PeriodicVestingAccount": (
        vesting_pb2.PeriodicVestingAccount,
        ("base_vesting_account", "base_account"),
    ),
    "cosmos.vesting.v1beta1.PermanentLockedAccount": (
        vesting_pb2.PermanentLockedAccount,
        ("base_vesting_account", "base_account"),
    ),
}


@frozen
class Account:
    """An account of the chain.

    Attributes:
        public_key: 33 bytes, compressed; None until the account first signs.
    """

    address: str
    number: int
    sequence: int
    public_key: bytes | None


def unpack_account(type_url: str, value: bytes) -> Account:
    """The account in an `Any` of the auth module.

    Raises:
        ChainQueryError: an account type that is not known to embed a base account.
    """
    name = type_url.rpartition("/")[2]
    if name not in _ACCOUNT_TYPES:
        raise ChainQueryError(f"unknown account type {type_url}", "DECODE")
    message_type, path = _ACCOUNT_TYPES[name]
    account = message_type.FromString(value)
    for step in path:
        account = getattr(account, step)
    public_key = None
    if account.pub_key.type_url.rpartition("/")[2] == PUBLIC_KEY_TYPE:
        public_key = keys_pb2.PubKey.FromString(account.pub_key.value).key
    return Account(account.address, account.account_number, account.sequence, public_key)
