"""`relayminer check` looks at the stakes and accounts of the keys, on a chain."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from relayminer.cli.check import SHOWN_WELL, shortened
from relayminer.cli.checks.findings import Finding
from relayminer.cli.checks.suppliers import check_suppliers
from relayminer.config.load import load
from relayminer.devnet.chain.tables import ACCOUNTS, BALANCES
from relayminer.devnet.chain.values import UPOKT
from relayminer.keys import SupplierKeys, load_keys
from relayminer.net.ports import free_port
from relayminer.plugin import load_key_providers
from relayminer.protocol.signature import SigningKey
from tests.cli.test_against_devnet import devnet, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relayminer.config.settings import Settings
    from relayminer.devnet.chain.store import Store


@attrs.frozen
class Stand:
    """A chain, a node's settings and its keys."""

    settings: Settings
    keys: SupplierKeys
    store: Store

    async def found(self, settings: Settings | None = None) -> dict[str, Finding]:
        """What is found, by subject."""
        findings = await check_suppliers(settings or self.settings, self.keys)
        for finding in findings:
            assert bool(finding.remedy) == (finding.result != "ok"), finding
        return {finding.subject: finding for finding in findings}


@asynccontextmanager
async def stand(home: Path) -> AsyncIterator[Stand]:
    """A devnet whose suppliers are well."""
    port = free_port()
    async with devnet(home / "devnet", port) as running:
        settings = load(write_config(home / "node.yaml", running, port))
        keys = load_keys(settings.keys, load_key_providers().values())
        yield Stand(settings, keys, running.node.chain.store)


async def test_accounts_that_cannot_pay_or_be_verified(tmp_path: Path) -> None:
    """No public key, no account, no balance, little of it: each is told with what to do."""
    async with stand(tmp_path) as one:
        silent, poor, gone = one.keys.addresses
        account = one.store.get(ACCOUNTS, silent)
        assert account is not None
        one.store.set(ACCOUNTS, silent, attrs.evolve(account, public_key=None))
        one.store.set(BALANCES, (poor, UPOKT), 999_999)
        one.store.delete(ACCOUNTS, gone)
        found = await one.found()
        assert {found[f"supplier {address}"].result for address in one.keys.addresses} == {"ok"}
        assert found[f"account {silent}"].result == "fail"
        assert "no public key on chain" in found[f"account {silent}"].found
        assert "send any transaction from it" in found[f"account {silent}"].remedy
        assert found[f"account {poor}"].result == "warn"
        assert "999,999 upokt" in found[f"account {poor}"].found
        assert "1,000,000" in found[f"account {poor}"].remedy
        assert found[f"account {gone}"].result == "fail"
        assert "not on chain" in found[f"account {gone}"].found
        one.store.set(BALANCES, (poor, UPOKT), 0)
        assert (await one.found())[f"account {poor}"].result == "fail"


async def test_stakes_are_compared_with_backends(tmp_path: Path) -> None:
    """A key without a stake, and a staked RPC type that no backend serves, are named."""
    async with stand(tmp_path) as one:
        stranger = SigningKey(bytes([7] * 32))
        served = dict(one.settings.relayer.services)
        backends = {name: it for name, it in served["svc1"].backends.items() if name != "jsonrpc"}
        served["svc1"] = attrs.evolve(served["svc1"], backends=backends)
        relayer = attrs.evolve(one.settings.relayer, services=served)
        keys = SupplierKeys([*one.keys.values(), stranger])
        found = await attrs.evolve(one, keys=keys).found(
            attrs.evolve(one.settings, relayer=relayer)
        )
        assert found[f"supplier {stranger.address}"].found == "not staked"
        assert f"account {stranger.address}" not in found
        for address in one.keys.addresses:
            stake = found[f"supplier {address}"]
            assert stake.result == "fail"
            assert "svc1 over jsonrpc" in stake.found
            assert "relayer.services.svc1.backends.jsonrpc" in stake.remedy


async def test_a_node_that_goes_away_is_one_line(tmp_path: Path) -> None:
    """Hundreds of suppliers that cannot be looked up are one failure."""
    async with stand(tmp_path) as one:
        chain = attrs.evolve(
            one.settings.chain, grpc_url=f"127.0.0.1:{free_port()}", query_timeout_seconds=1.0
        )
        found = await one.found(attrs.evolve(one.settings, chain=chain))
    assert list(found) == ["suppliers"]
    assert found["suppliers"].result == "fail"
    assert "0 of 3 looked up" in found["suppliers"].found


def test_a_fleet_that_is_well_takes_few_lines() -> None:
    """The table leaves out what is well beyond a screenful, never what is not."""
    fleet = [Finding(f"supplier {number}", "ok", "staked") for number in range(600)]
    ill = Finding("account 599", "fail", "poor", "pay")
    shown = shortened([Finding("keys", "ok", "600"), *fleet, ill])
    assert len(shown) == SHOWN_WELL + 3
    assert ill in shown
    assert shown[-1].found == f"{600 - SHOWN_WELL} more are well"
    assert shortened(fleet[:SHOWN_WELL]) == fleet[:SHOWN_WELL]
