"""What a seed means: who takes part in a history, and how bad the weather gets."""

from __future__ import annotations

import random

from attrs import frozen

LEASE_SECONDS = 8.0
BLOCK_SECONDS = 5.0
SESSION_BLOCKS = 10
WINDOW_BLOCKS = 12
CALM_BLOCKS = 4
"""So many blocks at the end of each window faults are healed."""
CALM_SEEDS = 20
"""Each so manieth seed has no faults at all."""


@frozen(kw_only=True)
class Weather:
    """Chances of faults while it is rough, each from 0 to 1; times in seconds."""

    store_fault: float = 0.0
    """Per command."""
    store_kinds: tuple[float, ...] = (1, 1, 1, 1, 1, 1)
    """Weights of: lost, executed but unanswered, late, overtaken, dies before, dies after."""
    chain_fault: float = 0.0
    """Per query."""
    lag_fault: float = 0.0
    """Per query for claims: the node is behind them."""
    send_fault: float = 0.0
    """Per broadcast."""
    send_kinds: tuple[float, ...] = (1, 1, 1, 1, 1, 1)
    """Weights of: slow, refused, unanswered, evicted, late, dies."""
    kills_per_block: float = 0.0
    pauses_per_block: float = 0.0
    stalls_per_block: float = 0.0
    jumps_per_block: float = 0.0
    outages_per_block: float = 0.0
    """The store is away from everybody."""
    keys_per_block: float = 0.0
    """A process loses a supplier's key for a while."""
    set_backs_per_block: float = 0.0
    """The chain goes on from an earlier block; it takes its later claims and proofs along."""
    longest_pause_seconds: float = 3 * LEASE_SECONDS
    command_timeout_seconds: float = 1.0


@frozen(kw_only=True)
class Plan:
    """A history before it happens."""

    seed: int
    miners: int
    suppliers: int
    sessions: int
    relays_max: int
    """Relays of a supplier in a session: from 2 to this; one alone does not earn its fees."""
    proof_probability: float
    batch_entries: int
    max_messages: int
    slowness: float
    """Blocks take so many times as long as the miners were told."""
    weather: Weather


def plan_of(seed: int) -> Plan:
    """The plan that a seed stands for."""
    rng = random.Random(f"plan {seed}")  # noqa: S311 - a test's dice

    def sometimes(chance: float, *values: float) -> float:
        return rng.choice(values) if rng.random() < chance else 0.0

    rough = Weather(
        store_fault=sometimes(0.8, 0.005, 0.02, 0.06),
        store_kinds=(
            sometimes(0.8, 1.0),
            sometimes(0.8, 1.0, 3.0),
            sometimes(0.8, 1.0, 3.0),
            sometimes(0.6, 1.0, 3.0),
            sometimes(0.5, 0.5, 1.0),
            0.1 + sometimes(0.5, 0.5, 1.0),
        ),
        chain_fault=sometimes(0.6, 0.01, 0.1, 0.4),
        send_fault=sometimes(0.7, 0.2, 0.6, 1.0),
        send_kinds=(
            sometimes(0.7, 1.0, 3.0),
            sometimes(0.7, 1.0),
            sometimes(0.7, 1.0),
            sometimes(0.7, 1.0),
            sometimes(0.7, 1.0),
            0.1 + sometimes(0.3, 1.0),
        ),
        kills_per_block=sometimes(0.6, 0.05, 0.2),
        pauses_per_block=sometimes(0.6, 0.05, 0.2),
        stalls_per_block=sometimes(0.4, 0.05, 0.1),
        jumps_per_block=sometimes(0.3, 0.05),
        outages_per_block=sometimes(0.4, 0.05, 0.2),
        keys_per_block=sometimes(0.3, 0.05, 0.2),
        lag_fault=sometimes(0.3, 0.2, 0.6),
        set_backs_per_block=sometimes(0.25, 0.05, 0.2),
    )
    return Plan(
        seed=seed,
        miners=rng.choice((1, 2, 2, 3)),
        suppliers=rng.choice((1, 1, 2)),
        sessions=rng.choice((1, 1, 2)),
        relays_max=rng.choice((2, 4, 12)),
        proof_probability=rng.choice((1.0, 1.0, 0.5, 0.0)),
        batch_entries=rng.choice((1, 3, 500)),
        max_messages=rng.choice((1, 30)),
        slowness=rng.choice((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0)),
        weather=Weather() if seed % CALM_SEEDS == 0 else rough,
    )
