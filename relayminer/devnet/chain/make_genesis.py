"""A genesis of the devnet's own: services, actors and accounts with keys drawn from a seed.

The parameters are those of the project's local network (wire 16.2): base difficulty, every claim
needs a proof.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from relayminer.devnet.chain.genesis import Genesis, load_genesis
from relayminer.devnet.chain.values import UPOKT, GenesisKeys
from relayminer.protocol.address import decode_address, encode_address, module_address
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GENESIS_TIME = "2026-01-01T00:00:00Z"
DEFAULT_SERVICES = ("develop-http", "develop-websocket", "develop-stream", "develop-grpc")
RPC_TYPES = {
    "develop-http": "JSON_RPC",
    "develop-websocket": "WEBSOCKET",
    "develop-stream": "REST",
    "develop-grpc": "GRPC",
}
COMPUTE_UNITS_PER_RELAY = 1000
ACCOUNT_UPOKT = 1_000_000_000_000
FAUCET_UPOKT = 999_999_999_999_999_999
VALIDATOR_UPOKT = 900_000_000_000_000
VALIDATOR_STAKE_UPOKT = 900_000_000
APPLICATION_STAKE_UPOKT = 10_000_000_000
SUPPLIER_STAKE_UPOKT = 2_000_000
GATEWAY_STAKE_UPOKT = 2_000_000


def make_genesis(
    *,
    seed: bytes = b"devnet",
    chain_id: str = "pocket",
    services: int | Sequence[str] = DEFAULT_SERVICES,
    suppliers: int = 15,
    applications: int | None = None,
    gateways: int = 1,
    relayer_url: str = "http://127.0.0.1:8080",
    genesis_time: str = GENESIS_TIME,
    public_keys: bool = True,
    params: Mapping[str, Mapping[str, Any]] | None = None,
) -> Genesis:
    """Make a genesis with its private keys.

    Args:
        seed: equal seeds give equal keys.
        chain_id: the chain's name.
        services: service ids, or how many to name.
        suppliers: how many; each stakes for every service.
        applications: how many, the n-th for the n-th service (and round again); None is one each.
        gateways: how many; every application delegates to all of them.
        relayer_url: what suppliers stake as their endpoint.
        genesis_time: RFC 3339, UTC.
        public_keys: whether accounts start with their keys on chain; without, a ring cannot be
            verified until each of its members has sent a transaction.
        params: changes to parameters, by module and name.
    """
    service_ids = _service_ids(services)
    count = len(service_ids) if applications is None else applications
    names = [
        "faucet",
        "dao",
        "validator1",
        "source_owner",
        *(f"app{index}" for index in range(1, count + 1)),
        *(f"supplier{index}" for index in range(1, suppliers + 1)),
        *(f"gateway{index}" for index in range(1, gateways + 1)),
    ]
    keys = {name: _key(seed, name) for name in names}
    addresses = {name: key.address for name, key in keys.items()}
    app_state = {
        "auth": {"accounts": _accounts(keys, with_keys=public_keys)},
        "bank": {"balances": _balances(addresses, count, suppliers, gateways)},
        "genutil": {"gen_txs": [_gen_tx(keys["validator1"])]},
        **_modules(addresses, params or {}),
    }
    _add_actors(app_state, addresses, service_ids, (count, suppliers, gateways), relayer_url)
    document = {
        "app_name": "pocket",
        "genesis_time": genesis_time,
        "chain_id": chain_id,
        "initial_height": 1,
        "app_state": app_state,
    }
    secrets = {key.address: key.export_secret() for key in keys.values()}
    return load_genesis(document, GenesisKeys(secrets, addresses))


def _add_actors(
    app_state: dict[str, Any],
    addresses: Mapping[str, str],
    service_ids: Sequence[str],
    counts: tuple[int, int, int],
    relayer_url: str,
) -> None:
    """Services and who is staked; `counts` are those of applications, suppliers, gateways."""
    applications, suppliers, gateways = counts
    app_state["service"]["serviceList"] = [
        {
            "id": service_id,
            "name": service_id,
            "compute_units_per_relay": COMPUTE_UNITS_PER_RELAY,
            "owner_address": addresses["source_owner"],
        }
        for service_id in service_ids
    ]
    gateway_addresses = [addresses[f"gateway{index}"] for index in range(1, gateways + 1)]
    app_state["application"]["applicationList"] = [
        {
            "address": addresses[f"app{index + 1}"],
            "stake": _coin(APPLICATION_STAKE_UPOKT),
            "service_configs": [{"service_id": service_ids[index % len(service_ids)]}],
            "delegatee_gateway_addresses": gateway_addresses,
        }
        for index in range(applications)
    ]
    app_state["gateway"]["gatewayList"] = [
        {"address": address, "stake": _coin(GATEWAY_STAKE_UPOKT)} for address in gateway_addresses
    ]
    app_state["supplier"]["supplierList"] = [
        _supplier(addresses[f"supplier{index}"], service_ids, relayer_url)
        for index in range(1, suppliers + 1)
    ]


def _service_ids(services: int | Sequence[str]) -> list[str]:
    if not isinstance(services, int):
        return list(services)
    known = list(DEFAULT_SERVICES[:services])
    return known + [f"service-{index}" for index in range(len(known) + 1, services + 1)]


def _key(seed: bytes, name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(seed + b"/" + name.encode()).digest())


def _coin(amount: int) -> dict[str, str]:
    return {"denom": UPOKT, "amount": str(amount)}


def _accounts(keys: Mapping[str, SigningKey], *, with_keys: bool) -> list[dict[str, Any]]:
    return [
        {
            "@type": "/cosmos.auth.v1beta1.BaseAccount",
            "address": key.address,
            "pub_key": _public_key(key) if with_keys else None,
            "account_number": str(number),
            "sequence": "0",
        }
        for number, key in enumerate(keys.values())
    ]


def _public_key(key: SigningKey) -> dict[str, str]:
    return {
        "@type": "/cosmos.crypto.secp256k1.PubKey",
        "key": base64.b64encode(key.public_key).decode("ascii"),
    }


def _balances(
    addresses: Mapping[str, str], applications: int, suppliers: int, gateways: int
) -> list[dict[str, Any]]:
    amounts = {"faucet": FAUCET_UPOKT, "validator1": VALIDATOR_UPOKT}
    balances = {address: amounts.get(name, ACCOUNT_UPOKT) for name, address in addresses.items()}
    balances[module_address("application")] = APPLICATION_STAKE_UPOKT * applications
    balances[module_address("supplier")] = SUPPLIER_STAKE_UPOKT * suppliers
    balances[module_address("gateway")] = GATEWAY_STAKE_UPOKT * gateways
    return [
        {"address": address, "coins": [_coin(amount)]}
        for address, amount in balances.items()
        if amount
    ]


def _gen_tx(validator: SigningKey) -> dict[str, Any]:
    operator = encode_address(decode_address(validator.address), "poktvaloper")
    return {
        "body": {
            "messages": [
                {
                    "@type": "/cosmos.staking.v1beta1.MsgCreateValidator",
                    "commission": {"rate": "0.100000000000000000"},
                    "validator_address": operator,
                    "value": _coin(VALIDATOR_STAKE_UPOKT),
                }
            ]
        },
        "auth_info": {"signer_infos": [{"public_key": _public_key(validator)}]},
    }


def _supplier(address: str, service_ids: Sequence[str], relayer_url: str) -> dict[str, Any]:
    web_socket_url = relayer_url.replace("http", "ws", 1)
    return {
        "owner_address": address,
        "operator_address": address,
        "stake": _coin(SUPPLIER_STAKE_UPOKT),
        "services": [
            {
                "service_id": service_id,
                "endpoints": [
                    {
                        "url": (
                            web_socket_url
                            if RPC_TYPES.get(service_id) == "WEBSOCKET"
                            else relayer_url
                        ),
                        "rpc_type": RPC_TYPES.get(service_id, "JSON_RPC"),
                        "configs": [],
                    }
                ],
                "rev_share": [{"address": address, "rev_share_percentage": "100"}],
            }
            for service_id in service_ids
        ],
    }


def _modules(
    addresses: Mapping[str, str], changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    shares = {
        "dao": 0.1,
        "proposer": 0.05,
        "supplier": 0.7,
        "source_owner": 0.15,
        "application": 0.0,
    }
    values: dict[str, dict[str, Any]] = {
        "shared": {
            "num_blocks_per_session": 10,
            "grace_period_end_offset_blocks": 1,
            "claim_window_open_offset_blocks": 1,
            "claim_window_close_offset_blocks": 8,
            "proof_window_open_offset_blocks": 0,
            "proof_window_close_offset_blocks": 8,
            "supplier_unbonding_period_sessions": 20,
            "application_unbonding_period_sessions": 2,
            "gateway_unbonding_period_sessions": 1,
            "compute_units_to_tokens_multiplier": 100,
            "compute_unit_cost_granularity": 1,
        },
        "session": {"num_suppliers_per_session": 15},
        "proof": {
            "proof_request_probability": 1.0,
            "proof_requirement_threshold": _coin(20_000_000),
            "proof_missing_penalty": _coin(250_000),
            "proof_submission_fee": _coin(1_000_000),
        },
        "service": {"add_service_fee": _coin(1_000_000_000), "target_num_relays": 100_000},
        "supplier": {"min_stake": _coin(1_000_000), "staking_fee": _coin(1_000_000)},
        "application": {"max_delegated_gateways": 7, "min_stake": _coin(100_000_000)},
        "gateway": {"min_stake": _coin(1_000_000)},
        "tokenomics": {
            "dao_reward_address": addresses["dao"],
            "global_inflation_per_claim": 0.0,
            "mint_ratio": 1.0,
            "mint_allocation_percentages": shares,
            "mint_equals_burn_claim_distribution": dict(shares),
        },
    }
    for module, changed in changes.items():
        values[module].update(changed)
    return {module: {"params": found} for module, found in values.items()}
