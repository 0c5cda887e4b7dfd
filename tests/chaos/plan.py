"""What a chaos run is made of, and which troubles its seed brings."""

from __future__ import annotations

import random
from collections.abc import Mapping  # noqa: TC003 - the same as Path
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - attrs resolves annotations at run time

from attrs import field, frozen

PARAMS = {
    "claim_window_open_offset_blocks": 20,
    "claim_window_close_offset_blocks": 32,
    "proof_window_close_offset_blocks": 32,
    "supplier_unbonding_period_sessions": 9,
    "application_unbonding_period_sessions": 9,
    "gateway_unbonding_period_sessions": 9,
}
"""Blocks are short here and takeovers are not, so windows have more blocks: 16 seconds each.

What was answered while the store was away reaches the log when it is back and the relayer lives:
that must be before the claim window opens, 10 seconds after the session's end.
"""
CLAIM_BLOCKS = 20
"""After the last relays: so long there are troubles still."""


@frozen(kw_only=True)
class ChaosOptions:
    """The size of a run.

    Attributes:
        home: directory for all homes and logs.
        minutes: how long the run takes, from the first relay to the last settlement.
        workers: relays in flight.
        pause_seconds: of each worker between two relays.
    """

    home: Path
    seed: int = 1
    minutes: float = 10.0
    relayers: int = 2
    miners: int = 3
    services: int = 2
    suppliers: int = 3
    block_seconds: float = 0.5
    workers: int = 8
    pause_seconds: float = 0.08
    params: Mapping[str, int] = field(factory=lambda: PARAMS)
    """Shared parameters of the chain."""

    @property
    def load_seconds(self) -> float:
        """How long relays are sent, so that the last session is settled in time."""
        windows = sum(blocks for name, blocks in self.params.items() if "window" in name)
        settling = (windows + 7) * self.block_seconds
        return max(15.0, self.minutes * 60 - settling)

    @property
    def trouble_seconds(self) -> float:
        """How long there are troubles: while relays are sent, and into the claims after that."""
        return self.load_seconds + CLAIM_BLOCKS * self.block_seconds


class Kind(StrEnum):
    """What can happen."""

    KILL_RELAYER = "kill -9 relayer"
    KILL_MINER = "kill -9 miner"
    KILL_STORE = "kill -9 store"
    STOP_MINER = "stop miner"
    STOP_RELAYER = "stop relayer"
    STOP_STORE = "stop store"
    CHAIN_STALLS = "no blocks"
    CHAIN_LOSES = "transactions accepted and lost"
    CHAIN_REFUSES = "transactions refused"
    CHAIN_DELAYS = "transactions delayed"
    CHAIN_SHUFFLES = "transactions shuffled"
    CHAIN_DROPS = "blocks not announced"
    CHAIN_LAGS = "node lags"
    CHAIN_SLOW = "node slow"
    RPC_DOWN = "RPC down"
    GRPC_DOWN = "gRPC down"


WEIGHTS = {
    Kind.KILL_RELAYER: 5,
    Kind.KILL_MINER: 8,
    Kind.KILL_STORE: 3,
    Kind.STOP_MINER: 5,
    Kind.STOP_RELAYER: 2,
    Kind.STOP_STORE: 1,
    Kind.CHAIN_STALLS: 2,
    Kind.CHAIN_LOSES: 2,
    Kind.CHAIN_REFUSES: 2,
    Kind.CHAIN_DELAYS: 2,
    Kind.CHAIN_SHUFFLES: 1,
    Kind.CHAIN_DROPS: 2,
    Kind.CHAIN_LAGS: 1,
    Kind.CHAIN_SLOW: 2,
    Kind.RPC_DOWN: 1,
    Kind.GRPC_DOWN: 1,
}
LASTS_SECONDS = {
    Kind.KILL_STORE: (0.0, 1.2),
    Kind.STOP_MINER: (4.6, 7.0),
    Kind.STOP_RELAYER: (0.2, 1.2),
    Kind.STOP_STORE: (0.2, 1.2),
    Kind.CHAIN_STALLS: (0.5, 3.0),
    Kind.CHAIN_DELAYS: (1.0, 4.0),
    Kind.CHAIN_SHUFFLES: (2.0, 8.0),
    Kind.CHAIN_LAGS: (0.5, 2.0),
    Kind.CHAIN_SLOW: (0.5, 3.0),
    Kind.RPC_DOWN: (0.5, 2.0),
    Kind.GRPC_DOWN: (0.5, 2.0),
}
"""From the shortest to the longest; what is not here happens at once."""
MEAN_PAUSE_SECONDS = 1.3


@frozen
class Trouble:
    """Something that happens.

    Attributes:
        at_seconds: after the first relay.
        target: which relayer or miner; a number for the others to make use of.
        seconds: how long it lasts.
    """

    at_seconds: float
    kind: Kind
    target: int
    seconds: float


def troubles(options: ChaosOptions) -> list[Trouble]:
    """What happens in a run, in order: the same for the same options."""
    rng = random.Random(f"chaos {options.seed}")  # noqa: S311 - a test's dice
    found: list[Trouble] = []
    now = 1.0
    while True:
        now += rng.expovariate(1 / MEAN_PAUSE_SECONDS)
        kind = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        target = rng.randrange(1_000_000)
        shortest, longest = LASTS_SECONDS.get(kind, (0.0, 0.0))
        seconds = rng.uniform(shortest, longest)
        if now + seconds > options.trouble_seconds:
            return found
        found.append(Trouble(round(now, 3), kind, target, round(seconds, 3)))
