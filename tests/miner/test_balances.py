"""Fees and stake run out: seen, counted, told once, and told when it is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2
from structlog.testing import capture_logs

from relayminer.chain.errors import ChainUnavailableError, NotFoundError
from relayminer.config.balance import BalanceSettings
from relayminer.config.settings import RedisSettings
from relayminer.miner.balances import Balances, fees_per_hour
from relayminer.miner.fees import OwnFees, fees_of
from relayminer.protocol.pb import proof_pb2, shared_pb2, supplier_pb2
from relayminer.state.ledger import Ledger, LedgerRecord
from relayminer.state.names import KeyNames
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SUPPLIER = "pokt1supplier"
NOW = 1_795_225_000.0
POKT = 1_000_000
FEES = "fees run out: send uPOKT to the supplier"


def coin(amount: int) -> coin_pb2.Coin:
    """So many uPOKT."""
    return coin_pb2.Coin(denom="upokt", amount=str(amount))


@define
class Money:
    """A chain with one supplier."""

    held: int = 10 * POKT
    stake: int | None = 1_000
    away: bool = False

    async def balance(self, address: str) -> int:
        """Of the account."""
        del address
        await trio.lowlevel.checkpoint()
        if self.away:
            raise ChainUnavailableError("away")
        return self.held

    async def supplier(self, operator_address: str) -> shared_pb2.Supplier:
        """As it is staked."""
        await trio.lowlevel.checkpoint()
        if self.stake is None:
            raise NotFoundError("not staked")
        return shared_pb2.Supplier(operator_address=operator_address, stake=coin(self.stake))

    async def supplier_params(self) -> supplier_pb2.Params:
        """At least 500 are staked."""
        await trio.lowlevel.checkpoint()
        return supplier_pb2.Params(min_stake=coin(500))

    async def proof_params(self) -> proof_pb2.Params:
        """A missing proof costs 20."""
        await trio.lowlevel.checkpoint()
        return proof_pb2.Params(proof_missing_penalty=coin(20))


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    """An empty ledger in a real store."""
    async with fresh_store() as url, running_gateway(url) as redis:
        yield Ledger(redis, KeyNames(RedisSettings().namespace))


def paid(number: int, hours_ago: float, fee_upokt: int, step: str = "claim_submitted") -> bytes:
    """A ledger record's content."""
    value = {
        "step": step,
        "session_id": f"s{number}",
        "unix_seconds": int(NOW - hours_ago * 3600),
        "fee_upokt": fee_upokt,
        "submission_fee_upokt": fee_upokt,
    }
    return json.dumps(value).encode()


def test_the_pace_is_that_of_the_last_day() -> None:
    """Older fees do not count; a proof's own fee does; a short history is not stretched."""
    data = [
        paid(1, 30, 9_999),
        paid(2, 12, 100),
        paid(3, 2, 20, "proof_submitted"),
        paid(3, 2, 120, "proof_intent"),
        paid(4, 1, 7, "mined"),
        b"\xff",
    ]
    records = [LedgerRecord(f"{n}-0", str(n), one) for n, one in enumerate(data)]
    assert fees_per_hour(records, NOW, complete=True) == pytest.approx(240 / 24)
    assert fees_per_hour(records[1:], NOW, complete=False) == pytest.approx(240 / 12)
    just_now = [LedgerRecord("1-0", "1", paid(1, 0.01, 60))]
    assert fees_per_hour(just_now, NOW, complete=False) == pytest.approx(60)


def test_own_fees_are_remembered_by_the_ledger() -> None:
    """The newest of each kind, whatever else is written there."""
    data = [
        paid(5, 1, 9, "proof_submitted"),
        paid(5, 2, 0),
        paid(4, 3, 5),
        paid(3, 4, 7),
        b"{",
        paid(3, 5, 8, "proof_submitted"),
    ]
    records = [LedgerRecord(f"{n}-0", str(n), one) for n, one in enumerate(data)]
    assert fees_of(records) == OwnFees(claim_upokt=5, proof_upokt=9)
    assert fees_of([]) == OwnFees()


async def test_what_is_left_is_shown(ledger: Ledger) -> None:
    """Balance, stake, hours of fees and missable proofs are in the metrics."""
    await ledger.append(SUPPLIER, [("1", paid(1, 3, 24_000))])
    metrics, money = Metrics(), Money(held=5 * POKT)
    balances = Balances(money, ledger, BalanceSettings(), lambda: [SUPPLIER], metrics, lambda: NOW)
    await balances.look()
    page = metrics.page().decode()
    for line in (
        "ha_miner_supplier_balance_upokt%s 5e+06",
        "ha_miner_supplier_stake_upokt%s 1000.0",
        "ha_miner_supplier_stake_health_ratio%s 2.0",
        "ha_miner_supplier_balance_health_status%s 2.0",
        "relayminer_supplier_fee_hours_left%s 5000.0",
        "relayminer_supplier_missable_proofs%s 25.0",
    ):
        assert line % f'{{supplier="{SUPPLIER}"}}' in page, line


async def test_trouble_is_told_when_it_comes_and_when_it_goes(ledger: Ledger) -> None:
    """Once each, not at every look; the counters count the looks."""
    metrics, money = Metrics(), Money()
    balances = Balances(money, ledger, BalanceSettings(), lambda: [SUPPLIER], metrics, lambda: NOW)
    steps: list[tuple[int, int, list[str]]] = [
        (10 * POKT, 1_000, []),
        (1_500_000, 1_000, [FEES]),
        (1_400_000, 1_000, []),
        (
            900_000,
            540,
            ["fees run out: send uPOKT to the supplier", "stake runs out: add to the stake"],
        ),
        (10 * POKT, 1_000, ["balance is well again", "stake is well again"]),
    ]
    for held, stake, expected in steps:
        money.held, money.stake = held, stake
        with capture_logs() as logs:
            await balances.look()
        assert [one["event"] for one in logs] == expected
    page = metrics.page().decode()
    assert f'ha_miner_supplier_balance_warning_alerts_total{{supplier="{SUPPLIER}"}} 2.0' in page
    assert f'ha_miner_supplier_stake_critical_alerts_total{{supplier="{SUPPLIER}"}} 1.0' in page


async def test_a_supplier_that_is_not_staked_and_a_chain_that_is_away(ledger: Ledger) -> None:
    """Neither stops the monitor; without a stake there is nothing to lose."""
    metrics, money = Metrics(), Money(stake=None)
    balances = Balances(money, ledger, BalanceSettings(), lambda: [SUPPLIER], metrics, lambda: NOW)
    await balances.look()
    assert "relayminer_supplier_missable_proofs{" not in metrics.page().decode()
    money.away = True
    await balances.look()
    assert "ha_miner_supplier_monitor_errors_total{" in metrics.page().decode()


async def test_an_interval_of_0_looks_never(ledger: Ledger) -> None:
    """The service ends by itself."""
    balances = Balances(
        Money(), ledger, BalanceSettings(interval_seconds=0), lambda: [SUPPLIER], Metrics()
    )
    with trio.fail_after(5):
        await balances.run()
