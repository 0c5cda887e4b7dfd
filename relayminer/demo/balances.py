"""Who has how much, before and after, and how much it should have become."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query_pb2

from relayminer.demo.arithmetic import Recipients, Settlement, Shares, expected_rewards
from relayminer.protocol.pb import service_pb2, shared_pb2, supplier_pb2, tokenomics_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relayminer.demo.rows import Row
    from relayminer.gateway.chain import GatewayChain

UPOKT = "upokt"


@frozen(kw_only=True)
class Change:
    """One account's or stake's change in uPOKT, and what the arithmetic expects."""

    name: str
    expected_upokt: int
    actual_upokt: int

    @property
    def is_right(self) -> bool:
        """Whether it changed by exactly what was expected."""
        return self.expected_upokt == self.actual_upokt


class Accounts:
    """The accounts that a demonstration pays, read from the chain by their purpose."""

    def __init__(self, chain: GatewayChain) -> None:
        self._chain = chain

    async def balance(self, address: str) -> int:
        """The spendable uPOKT of an account."""
        answer = await self._chain.ask(
            "/cosmos.bank.v1beta1.Query/Balance",
            bank_query_pb2.QueryBalanceRequest(address=address, denom=UPOKT),
            bank_query_pb2.QueryBalanceResponse,
        )
        return int(answer.balance.amount or 0)

    async def balances(self, addresses: Iterable[str]) -> dict[str, int]:
        """The spendable uPOKT of several accounts."""
        return {address: await self.balance(address) for address in sorted(set(addresses))}

    async def stake(self, application: str) -> int:
        """An application's stake in uPOKT."""
        return int((await self._chain.application(application)).stake.amount)

    async def supplier(self, address: str) -> shared_pb2.Supplier:
        """A supplier's record."""
        answer = await self._chain.ask(
            "/pocket.supplier.Query/Supplier",
            supplier_pb2.QueryGetSupplierRequest(operator_address=address),
            supplier_pb2.QueryGetSupplierResponse,
        )
        return answer.supplier

    async def service_owner(self, service_id: str) -> str:
        """Who owns a service, and gets the source owner's share."""
        answer = await self._chain.ask(
            "/pocket.service.Query/Service",
            service_pb2.QueryGetServiceRequest(id=service_id),
            service_pb2.QueryGetServiceResponse,
        )
        return answer.service.owner_address

    async def tokenomics(self) -> tokenomics_pb2.Params:
        """How a settled claim is divided."""
        answer = await self._chain.ask(
            "/pocket.tokenomics.Query/Params",
            tokenomics_pb2.QueryParamsRequest(),
            tokenomics_pb2.QueryParamsResponse,
        )
        return answer.params


@frozen(kw_only=True)
class Before:
    """The state of affairs before the first relay."""

    balances: Mapping[str, int]
    stakes: Mapping[str, int]
    suppliers: Mapping[str, shared_pb2.Supplier]
    owners: Mapping[str, str]
    tokenomics: tokenomics_pb2.Params


async def look(
    accounts: Accounts,
    *,
    suppliers: Iterable[str],
    applications: Iterable[str],
    services: Iterable[str],
    validators: Iterable[str],
) -> Before:
    """Read everything that the settlement will change, and the rules for it."""
    tokenomics = await accounts.tokenomics()
    owners = {service: await accounts.service_owner(service) for service in services}
    records = {address: await accounts.supplier(address) for address in suppliers}
    applications = list(applications)
    paid = {
        tokenomics.dao_reward_address,
        *owners.values(),
        *applications,
        *validators,
        *records,
        *(record.owner_address for record in records.values()),
    }
    return Before(
        balances=await accounts.balances(paid),
        stakes={address: await accounts.stake(address) for address in applications},
        suppliers=records,
        owners=owners,
        tokenomics=tokenomics,
    )


def settlements(before: Before, rows: Iterable[Row]) -> list[Settlement]:
    """The settled claims of `rows`, with who is paid for each."""
    found = []
    for row in rows:
        record = before.suppliers[row.supplier]
        config = next(each for each in record.services if each.service_id == row.service_id)
        found.append(
            Settlement(
                revenue_shares=tuple(
                    (share.address, share.rev_share_percentage) for share in config.rev_share
                ),
                application=row.application,
                source_owner=before.owners[row.service_id],
                settled_upokt=row.settled_upokt,
            )
        )
    return found


async def changes(
    accounts: Accounts,
    before: Before,
    rows: list[Row],
    *,
    fees_upokt: Mapping[str, int],
    validator: str,
    names: Mapping[str, str],
) -> list[Change]:
    """Every balance and stake with its expected and its actual change."""
    distribution = before.tokenomics.mint_equals_burn_claim_distribution
    shares = Shares.of(
        {
            "supplier": distribution.supplier,
            "proposer": distribution.proposer,
            "source_owner": distribution.source_owner,
            "application": distribution.application,
        },
        before.tokenomics.mint_ratio,
    )
    recipients = Recipients(dao=before.tokenomics.dao_reward_address, proposer=validator)
    expected = expected_rewards(settlements(before, rows), shares, recipients)
    for payer, fee in fees_upokt.items():
        expected[payer] -= fee
    after = await accounts.balances(before.balances)
    found = [
        Change(
            name=names.get(address, address),
            expected_upokt=expected[address],
            actual_upokt=after[address] - balance,
        )
        for address, balance in before.balances.items()
    ]
    burned: Counter[str] = Counter()
    for row in rows:
        burned[row.application] += row.settled_upokt
    for address, stake in before.stakes.items():
        found.append(
            Change(
                name=f"stake of {names.get(address, address)}",
                expected_upokt=-burned[address],
                actual_upokt=await accounts.stake(address) - stake,
            )
        )
    return sorted(found, key=lambda change: change.name)
