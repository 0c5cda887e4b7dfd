"""The tables of the state, one constant each, with the form of their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from relayminer.devnet.chain.store import Table

if TYPE_CHECKING:
    from decimal import Decimal

    from relayminer.protocol.pb import (
        application_pb2,
        gateway_pb2,
        proof_pb2,
        service_pb2,
        session_pb2,
        shared_pb2,
    )


@frozen(slots=True)
class Account:
    """An account of the auth module; `public_key` is 33 bytes or None until it first signs."""

    address: str
    number: int
    sequence: int = 0
    public_key: bytes | None = None
    module_name: str = ""
    permissions: tuple[str, ...] = ()


@frozen(slots=True)
class Validator:
    """A bonded validator; stakes in upokt."""

    operator_address: str
    account_address: str
    stake_upokt: int
    commission_rate: Decimal
    delegations_upokt: tuple[tuple[str, int], ...]


ACCOUNTS: Table[str, Account] = Table("accounts")
ACCOUNT_COUNT: Table[str, int] = Table("account_count")
BALANCES: Table[tuple[str, str], int] = Table("balances")  # (address, denom)
SUPPLY: Table[str, int] = Table("supply")  # denom
NONCES: Table[tuple[int, str], bool] = Table("unordered_nonces")  # (timeout ns, signer)
PARAMS: Table[str, Any] = Table("params")  # module name -> its Params message
SHARED_HISTORY: Table[int, shared_pb2.Params] = Table("shared_history")  # effective height
SESSION_HISTORY: Table[int, session_pb2.Params] = Table("session_history")  # effective height
APPLICATIONS: Table[str, application_pb2.Application] = Table("applications")
GATEWAYS: Table[str, gateway_pb2.Gateway] = Table("gateways")
SUPPLIERS: Table[str, shared_pb2.Supplier] = Table("suppliers")  # dehydrated, by operator
CONFIG_UPDATES: Table[tuple[str, int, str], shared_pb2.ServiceConfigUpdate] = Table(
    "service_config_updates"
)  # (service id, activation height, operator)
SERVICES: Table[str, shared_pb2.Service] = Table("services")
COMPUTE_UNITS: Table[tuple[str, int], int] = Table("compute_units")  # (service id, height)
DIFFICULTIES: Table[str, service_pb2.RelayMiningDifficulty] = Table("difficulties")
DIFFICULTY_HISTORY: Table[tuple[str, int], service_pb2.RelayMiningDifficulty] = Table(
    "difficulty_history"
)  # (service id, effective height)
CLAIMS: Table[tuple[str, str], proof_pb2.Claim] = Table("claims")  # (session id, supplier)
PROOFS: Table[tuple[str, str], proof_pb2.Proof] = Table("proofs")  # (session id, supplier)
BLOCK_HASHES: Table[int, bytes] = Table("block_hashes")
VALIDATORS: Table[str, Validator] = Table("validators")  # by operator address
