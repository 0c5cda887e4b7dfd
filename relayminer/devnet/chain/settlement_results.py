"""What settling one claim wants done to the bank, and the same added up over a block.

Source: poktroll: x/tokenomics/keeper/settle_pending_claims_aggregation.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from relayminer.devnet.chain import bank
from relayminer.protocol.address import module_address
from relayminer.protocol.pb import tokenomics_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import proof_pb2

Reason = tokenomics_pb2.SettlementOpReason


@frozen(slots=True)
class Operation:
    """One movement: between `sender` (a module) and `recipient` (a module, an address, or "")."""

    sender: str
    recipient: str
    reason: Reason
    amount_upokt: int


@define
class Result:
    """The movements that one claim (None: the block's validator rewards) asks for."""

    claim: proof_pb2.Claim | None
    mints: list[Operation] = field(factory=list)
    burns: list[Operation] = field(factory=list)
    to_modules: list[Operation] = field(factory=list)
    to_accounts: list[Operation] = field(factory=list)

    @property
    def session_end_height(self) -> int:
        """The session end of the claim, 0 without one."""
        return 0 if self.claim is None else self.claim.session_header.session_end_block_height

    def rewards(self) -> dict[str, str]:
        """Account rewards by recipient, as coin texts."""
        totals: dict[str, int] = {}
        for each in self.to_accounts:
            totals[each.recipient] = totals.get(each.recipient, 0) + each.amount_upokt
        return {address: bank.coin_text(amount) for address, amount in totals.items()}

    def detailed_rewards(self) -> list[tokenomics_pb2.RewardDistributionDetail]:
        """Account rewards one by one."""
        return [
            tokenomics_pb2.RewardDistributionDetail(
                recipient_address=each.recipient,
                op_reason=each.reason,
                amount=bank.coin_text(each.amount_upokt),
            )
            for each in self.to_accounts
        ]


def execute(ctx: Context, results: list[Result]) -> None:
    """Carry out the movements of a block: mints, to modules, to accounts, burns, each added up."""
    end_height = results[0].session_end_height if results else 0

    def announce(operation: Operation, claims: int, kind: str) -> None:
        ctx.emit(
            tokenomics_pb2.EventSettlementBatch(
                session_end_block_height=end_height,
                sender_module=operation.sender,
                recipient=operation.recipient,
                op_reason=operation.reason,
                total_amount=bank.coin_text(operation.amount_upokt),
                num_claims=claims,
                op_type=kind,
            )
        )

    for operation, claims in _totals(each for result in results for each in result.mints):
        bank.mint(ctx, operation.sender, bank.upokt(operation.amount_upokt))
        announce(operation, claims, "mint")
    for operation, claims in _totals(each for result in results for each in result.to_modules):
        recipient = module_address(operation.recipient)
        bank.send_from_module(ctx, operation.sender, recipient, bank.upokt(operation.amount_upokt))
        announce(operation, claims, "mod_to_mod")
    for operation, claims in _totals(each for result in results for each in result.to_accounts):
        bank.send_from_module(
            ctx, operation.sender, operation.recipient, bank.upokt(operation.amount_upokt)
        )
        announce(operation, claims, "mod_to_acct")
    for operation, claims in _totals(each for result in results for each in result.burns):
        bank.burn(ctx, operation.sender, bank.upokt(operation.amount_upokt))
        announce(operation, claims, "burn")


def _totals(operations: Iterable[Operation]) -> list[tuple[Operation, int]]:
    """Operations added up by sender, recipient and reason, with counts, in the chain's order."""
    totals: dict[tuple[str, str, int], tuple[Operation, int]] = {}
    for each in operations:
        key = (each.sender, each.recipient, each.reason)
        known = totals.get(key)
        if known is None:
            totals[key] = (each, 1)
        else:
            amount = known[0].amount_upokt + each.amount_upokt
            totals[key] = (
                Operation(each.sender, each.recipient, each.reason, amount),
                known[1] + 1,
            )
    ordered = sorted(totals.values(), key=lambda total: _order(total[0]))
    return [total for total in ordered if total[0].amount_upokt]


def _order(operation: Operation) -> str:
    """The chain sorts by this text, so reason 15 comes before reason 4."""
    if operation.recipient:
        return f"{operation.sender}|{operation.recipient}|{int(operation.reason)}"
    return f"{operation.sender}|{int(operation.reason)}"
