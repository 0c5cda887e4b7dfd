"""The recorded local network: its genesis in the form that the chain loads, its blocks."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from relayminer.devnet.chain import Attribute, Chain, Event, load_genesis
from relayminer.devnet.chain.genesis import parse_time
from relayminer.devnet.chain.tables import BALANCES, SUPPLY
from tests.vector_data import load

SECOND = 1_000_000_000
BLOCK_NS = 2 * SECOND
VALIDATOR = "poktvaloper18kk3aqe2pjz7x7993qp2pjt95ghurra9c5ef0t"
VALIDATOR_STAKE = "900000000"


def make_chain(**options: Any) -> Chain:
    """The recorded chain before its first block."""
    values = load("localnet/genesis_values.json")
    modules = ("shared", "session", "proof", "service", "tokenomics")
    actors = ("application", "gateway", "supplier")
    create = {
        "@type": "/cosmos.staking.v1beta1.MsgCreateValidator",
        "commission": {"rate": "0.100000000000000000"},
        "validator_address": VALIDATOR,
        "value": {"denom": "upokt", "amount": VALIDATOR_STAKE},
    }
    document = {
        "chain_id": values["chain_id"],
        "genesis_time": values["genesis_time"],
        "app_state": {
            "auth": {"accounts": values["accounts"]},
            "bank": {"balances": values["balances"]},
            "genutil": {"gen_txs": [{"body": {"messages": [create]}}]},
            **{name: values[name] for name in (*modules, *actors)},
        },
    }
    return Chain(load_genesis(document), **options)


def advance(chain: Chain, height: int, time_ns: int) -> None:
    """Make empty blocks so that the block at `height` has the time `time_ns`."""
    while chain.height < height:
        following = chain.height + 1
        chain.produce_block(time_ns - (height - following) * BLOCK_NS)


def block(name: str) -> tuple[int, int, list[bytes]]:
    """Height, time (ns) and transactions of a recorded block."""
    found = load(f"localnet/cometbft/block_{name}.json")["result"]["block"]
    txs = [base64.b64decode(each) for each in found["data"]["txs"]]
    return int(found["header"]["height"]), parse_time(found["header"]["time"]), txs


def results(name: str) -> Any:
    """The recorded results of a block."""
    return load(f"localnet/cometbft/block_results_{name}.json")["result"]


def events(recorded: list[Any]) -> list[Event]:
    """Recorded events as the chain's values."""
    return [
        Event(
            each["type"], tuple(Attribute(one["key"], one["value"]) for one in each["attributes"])
        )
        for each in recorded
    ]


def inject(chain: Chain, txs: list[bytes]) -> None:
    """Put transactions into the mempool unchecked."""
    for tx in txs:
        chain.mempool.add(hashlib.sha256(tx).digest(), tx)


def set_balance(chain: Chain, address: str, amount: int) -> None:
    """Let an address hold this many upokt."""
    before = chain.store.get(BALANCES, (address, "upokt")) or 0
    chain.store.set(BALANCES, (address, "upokt"), amount)
    chain.store.set(SUPPLY, "upokt", (chain.store.get(SUPPLY, "upokt") or 0) + amount - before)
