"""What an application can pay for one session, shared among the suppliers that claim.

Source: poktroll: x/tokenomics/keeper/{settlement_context,token_logic_modules}.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from relayminer.devnet.chain import bank
from relayminer.devnet.chain.distribution import ceil_of, exact
from relayminer.protocol.pb import tokenomics_pb2
from relayminer.protocol.windows import pending_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import application_pb2, proof_pb2, shared_pb2

SessionKey = tuple[str, str]
"""(application address, session id)."""


def stake_terms(claimed_upokt: int, inflation: float) -> int:
    """What a claim costs its application's stake: the claim and its inflation, rounded up."""
    return claimed_upokt + ceil_of(claimed_upokt, exact(inflation))


@define
class SessionBudget:
    """The budget of one application for one session, in upokt of stake."""

    floor_upokt: int
    """What every claimant may have, whatever the others claim."""
    spend_limit_exceeded: bool
    unused_upokt: int = 0
    excess_upokt: int = 0

    def count(self, cost_upokt: int) -> None:
        """Take note of a claim that will settle."""
        if cost_upokt < self.floor_upokt:
            self.unused_upokt += self.floor_upokt - cost_upokt
        else:
            self.excess_upokt += cost_upokt - self.floor_upokt

    def cap(
        self,
        ctx: Context,
        claim: proof_pb2.Claim,
        claimed_upokt: int,
        params: tokenomics_pb2.Params,
    ) -> int:
        """What of a claim is settled, in upokt; says so when that is less than claimed."""
        inflation = exact(params.global_inflation_per_claim)
        cost = stake_terms(claimed_upokt, params.global_inflation_per_claim)
        multiplier = max(1, params.overservicing_bonus_multiplier)
        most = self.floor_upokt
        excess = cost - self.floor_upokt
        if multiplier > 1 and self.excess_upokt > 0 and excess > 0:
            most += self.unused_upokt * excess // self.excess_upokt
        most = min(most, self.floor_upokt * multiplier)
        whole = 1 + inflation
        settled = most * whole.denominator // whole.numerator
        if claimed_upokt <= settled:
            return claimed_upokt
        header = claim.session_header
        ctx.emit(
            tokenomics_pb2.EventApplicationOverserviced(
                application_addr=header.application_address,
                supplier_operator_addr=claim.supplier_operator_address,
                expected_burn=bank.coin_text(cost),
                effective_burn=bank.coin_text(min(cost, most)),
                service_id=header.service_id,
                session_end_block_height=header.session_end_block_height,
                spend_limit_exceeded=self.spend_limit_exceeded,
            )
        )
        return settled


@define
class Budgets:
    """The budgets of a block's settlement."""

    claims: dict[SessionKey, int]
    """How many claims each application's session has."""
    _budgets: dict[SessionKey, SessionBudget] = field(factory=dict, init=False)

    @classmethod
    def of(cls, claims: Iterable[proof_pb2.Claim]) -> Budgets:
        """Budgets for these claims."""
        counts: dict[SessionKey, int] = {}
        for claim in claims:
            key = _key(claim)
            counts[key] = counts.get(key, 0) + 1
        return cls(counts)

    def of_session(
        self,
        claim: proof_pb2.Claim,
        application: application_pb2.Application,
        initial_stake_upokt: int,
        shared: shared_pb2.Params,
    ) -> SessionBudget:
        """The budget of the session of `claim`; `shared` are the parameters at its end."""
        key = _key(claim)
        known = self._budgets.get(key)
        if known is not None:
            return known
        count = self.claims.get(key, 1)
        per_session = initial_stake_upokt // pending_sessions(shared)
        floor = per_session // count
        exceeded = False
        if application.HasField("per_session_spend_limit"):
            limit = bank.amount_of(application.per_session_spend_limit)
            limited = min(limit, per_session) // count
            if limit > 0 and limited < floor:
                floor, exceeded = limited, True
        made = SessionBudget(floor, exceeded)
        self._budgets[key] = made
        return made


def _key(claim: proof_pb2.Claim) -> SessionKey:
    header = claim.session_header
    return header.application_address, header.session_id
