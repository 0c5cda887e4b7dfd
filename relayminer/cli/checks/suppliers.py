"""Whether supplier keys can do their work: sign, be staked for what is served, pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import define, field

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.chain.queries import ChainQueries
from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.cli.stake import unserved
from relayminer.protocol.signature import verify_signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relayminer.chain.accounts import Account
    from relayminer.config.settings import Settings
    from relayminer.keys.loading import SupplierKeys
    from relayminer.protocol.pb import shared_pb2

T = TypeVar("T")

CONCURRENT: Final = 16
"""Suppliers looked up at once: three questions each, one after the other."""
_MESSAGE: Final = b"a signature that must verify"


async def check_suppliers(settings: Settings, keys: SupplierKeys) -> list[Finding]:
    """What is found of every key, in the order of the addresses.

    When the node stops answering the rest is left: a fleet has hundreds, and one line says it.
    """
    looked_up = _LookUp(settings)
    turns = trio.CapacityLimiter(CONCURRENT)
    async with ChainQueries(settings.chain) as queries, trio.open_nursery() as nursery:
        for address in keys.addresses:
            if not _signs(keys, address):
                remedy = "make a new key: this one is damaged"
                looked_up.of(address).append(
                    Finding(f"key {address}", FAIL, "signs wrongly", remedy)
                )
                continue
            nursery.start_soon(looked_up.look, queries, address, turns, nursery.cancel_scope)
    return [
        *(one for address in keys.addresses for one in looked_up.found.get(address, ())),
        *looked_up.broken_off(len(keys)),
    ]


def _signs(keys: SupplierKeys, address: str) -> bool:
    key = keys[address]
    return verify_signature(key.public_key, _MESSAGE, key.sign(_MESSAGE))


@define
class _LookUp:
    """What is known so far.

    Attributes:
        found: by address.
        error: why the node could not be asked further.
    """

    settings: Settings
    found: dict[str, list[Finding]] = field(factory=dict)
    error: ChainError | None = None

    def of(self, address: str) -> list[Finding]:
        """The findings of one address."""
        return self.found.setdefault(address, [])

    async def look(
        self,
        queries: ChainQueries,
        address: str,
        turns: trio.CapacityLimiter,
        everything: trio.CancelScope,
    ) -> None:
        """One supplier and its account."""
        try:
            async with turns:
                supplier = await _or_none(queries.supplier, address)
                account = await _or_none(queries.account, address)
                balance_upokt = await queries.balance(address)
        except ChainError as error:
            self.error = self.error or error
            everything.cancel()
            return
        found = self.of(address)
        found.extend(about_stake(self.settings, address, supplier))
        if supplier is not None or account is not None:
            is_staked = supplier is not None
            found.append(
                about_account(self.settings, address, account, balance_upokt, is_staked=is_staked)
            )

    def broken_off(self, wanted: int) -> list[Finding]:
        """That not all were looked up."""
        if self.error is None:
            return []
        what = f"{len(self.found)} of {wanted} looked up, then: {self.error}"
        return [Finding("suppliers", FAIL, what, "look after the node, and check again")]


async def _or_none(question: Callable[[str], Awaitable[T]], address: str) -> T | None:
    try:
        return await question(address)
    except NotFoundError:
        return None


def about_stake(
    settings: Settings, address: str, supplier: shared_pb2.Supplier | None
) -> list[Finding]:
    """Whether it is staked, and every staked service and RPC type has a backend here."""
    subject = f"supplier {address}"
    if supplier is None:
        return [Finding(subject, WARN, "not staked", "stake it, or take its key out")]
    missing = unserved(settings, supplier)
    if missing and settings.relayer.services:
        listed = ", ".join(f"{service} over {backend}" for service, backend in missing)
        places = ", ".join(
            f"relayer.services.{service}.backends.{backend}" for service, backend in missing
        )
        found = f"staked for {listed}, which no backend serves"
        return [Finding(subject, FAIL, found, f"add {places}, or change the stake")]
    staked = ", ".join(sorted(service.service_id for service in supplier.services)) or "nothing"
    return [Finding(subject, OK, f"staked for {staked}")]


def about_account(
    settings: Settings,
    address: str,
    account: Account | None,
    balance_upokt: int,
    *,
    is_staked: bool,
) -> Finding:
    """Whether gateways can check its answers, and whether it can pay for claims and proofs."""
    subject = f"account {address}"
    least = settings.miner.balance.min_balance_upokt
    # A key that earns nothing needs nothing yet.
    bad = FAIL if is_staked else WARN
    if account is None:
        remedy = f"send it {2 * least:,} upokt for fees, then any transaction from it"
        return Finding(subject, bad, "not on chain: it can neither pay nor be verified", remedy)
    found = f"{balance_upokt:,} upokt for fees"
    if account.public_key is None:
        # Gateways check answers with it; the chain learns it from the first transaction.
        remedy = "send any transaction from it: until then gateways cannot check its answers"
        return Finding(subject, bad, f"{found}; no public key on chain", remedy)
    if balance_upokt < least:
        remedy = f"send it some: less than {least:,} upokt (miner.balance.min_balance_upokt)"
        return Finding(subject, WARN if balance_upokt else bad, found, remedy)
    return Finding(subject, OK, f"{found}; public key on chain")
