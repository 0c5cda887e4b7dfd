"""What settlement says about claims: typed events as CometBFT renders them.

Each attribute's value is a JSON text: quoted strings and 64-bit integers, bare 32-bit ones. What
cannot be read counts as empty or 0: an event is news of what has happened, and a strange field in
it must not hide the rest.

Source: `cosmos-sdk: types/events.go`, `poktroll: proto/pocket/tokenomics/event.proto`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import field, frozen

from relayminer.protocol.pb import tokenomics_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CLAIM_SETTLED = "pocket.tokenomics.EventClaimSettled"
CLAIM_EXPIRED = "pocket.tokenomics.EventClaimExpired"
SUPPLIER_SLASHED = "pocket.tokenomics.EventSupplierSlashed"
CLAIM_DISCARDED = "pocket.tokenomics.EventClaimDiscarded"
APPLICATION_OVERSERVICED = "pocket.tokenomics.EventApplicationOverserviced"

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@frozen
class ClaimSettled:
    """A claim was paid, or found to be worth nothing.

    Attributes:
        proof_requirement: number of a `ProofRequirementReason`.
        claim_proof_status: number of a `ClaimProofStatus`.
        claimed_upokt: what the claim asked for.
        settled_upokt: what was left after the application's budget.
        minted_upokt: what was left after the mint ratio.
        rewards_upokt: address to its share.
    """

    supplier_operator_address: str
    supplier_owner_address: str
    service_id: str
    application_address: str
    session_id: str
    session_end_height: int
    proof_requirement: int
    claim_proof_status: int
    num_relays: int
    num_claimed_compute_units: int
    num_estimated_compute_units: int
    num_estimated_relays: int
    claimed_upokt: int
    settled_upokt: int
    minted_upokt: int
    overservicing_loss_upokt: int
    deflation_loss_upokt: int
    mint_ratio: str
    rewards_upokt: Mapping[str, int] = field(factory=dict)

    def earned_upokt(self, address: str) -> int:
        """The share of `address`; 0 when it has none."""
        return self.rewards_upokt.get(address, 0)


@frozen
class ClaimExpired:
    """A claim was dropped because its proof was missing or invalid.

    Attributes:
        expiration_reason: number of a `ClaimExpirationReason`; one that is not known reads 0.
        claim_proof_status: number of a `ClaimProofStatus`.
        claimed_upokt: what is lost.
    """

    supplier_operator_address: str
    service_id: str
    application_address: str
    session_end_height: int
    expiration_reason: int
    claim_proof_status: int
    num_relays: int
    num_claimed_compute_units: int
    num_estimated_compute_units: int
    num_estimated_relays: int
    claimed_upokt: int


@frozen
class SupplierSlashed:
    """A supplier lost stake over a missing or invalid proof.

    Attributes:
        penalty_upokt: what it lost.
        stake_after_slash_upokt: what it has left.
    """

    supplier_operator_address: str
    service_id: str
    application_address: str
    session_end_height: int
    claim_proof_status: int
    penalty_upokt: int
    stake_after_slash_upokt: int


@frozen
class ClaimDiscarded:
    """A claim could not be settled and was removed.

    Attributes:
        error: the chain's own words.
    """

    supplier_operator_address: str
    service_id: str
    application_address: str
    session_end_height: int
    claim_proof_status: int
    error: str


@frozen
class ApplicationOverserviced:
    """An application's budget did not cover what a supplier served: the claim is paid in part.

    Attributes:
        expected_burn_upokt: what the claim asked for.
        effective_burn_upokt: what the budget covered.
        is_spend_limit: whether the application's own limit was in the way, not its stake.
    """

    supplier_operator_address: str
    service_id: str
    application_address: str
    session_end_height: int
    expected_burn_upokt: int
    effective_burn_upokt: int
    is_spend_limit: bool


SettlementEvent: TypeAlias = (
    ClaimSettled | ClaimExpired | SupplierSlashed | ClaimDiscarded | ApplicationOverserviced
)


def parse_event(event_type: str, attributes: Mapping[str, str]) -> SettlementEvent | None:
    """The record of an event of settlement, None for any other event.

    Args:
        event_type: full message name.
        attributes: name to JSON text, as on the wire; unknown names are ignored.
    """
    parse = _PARSERS.get(event_type)
    return None if parse is None else parse(_Attributes(attributes))


def attributes_of(pairs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Attributes from CometBFT's list of `{"key": ..., "value": ...}`; a null value reads empty."""
    return {str(pair.get("key") or ""): str(pair.get("value") or "") for pair in pairs}


def text_of(value: str) -> str:
    """The text of an attribute: unquoted and unescaped where it is JSON, else without quotes."""
    if value.startswith('"'):
        try:
            decoded = json.loads(value)
        except ValueError:
            return value[1:-1] if len(value) > 1 and value.endswith('"') else value
        if isinstance(decoded, str):
            return decoded
    return value


def integer_of(value: str) -> int:
    """The integer of an attribute; 0 for what is none or lies outside 64 bits."""
    text = text_of(value)
    if not _INTEGER.fullmatch(text):
        return 0
    number = int(text)
    return number if _INT64_MIN <= number <= _INT64_MAX else 0


def upokt_of(value: str) -> int:
    """The amount of a coin text such as `70upokt`; 0 for what is none."""
    return integer_of(text_of(value).removesuffix("upokt"))


@frozen
class _Attributes:
    values: Mapping[str, str]

    def text(self, name: str) -> str:
        return text_of(self.values.get(name, ""))

    def integer(self, name: str) -> int:
        return integer_of(self.values.get(name, ""))

    def upokt(self, name: str) -> int:
        return upokt_of(self.values.get(name, ""))

    def shares(self, name: str) -> dict[str, int]:
        try:
            shares = json.loads(self.values.get(name) or "{}")
        except ValueError:
            return {}
        if not isinstance(shares, dict):
            return {}
        return {address: upokt_of(str(amount)) for address, amount in shares.items()}

    def claim(self) -> dict[str, Any]:
        """What every event about a claim carries."""
        return {
            "supplier_operator_address": self.text("supplier_operator_address"),
            "service_id": self.text("service_id"),
            "application_address": self.text("application_address"),
            "session_end_height": self.integer("session_end_block_height"),
            "claim_proof_status": self.integer("claim_proof_status_int"),
        }

    def volume(self) -> dict[str, Any]:
        """What events about a claim's worth carry besides."""
        return {
            "num_relays": self.integer("num_relays"),
            "num_claimed_compute_units": self.integer("num_claimed_compute_units"),
            "num_estimated_compute_units": self.integer("num_estimated_compute_units"),
            "num_estimated_relays": self.integer("num_estimated_relays"),
            "claimed_upokt": self.upokt("claimed_upokt"),
        }


def _settled(attributes: _Attributes) -> ClaimSettled:
    return ClaimSettled(
        **attributes.claim(),
        **attributes.volume(),
        supplier_owner_address=attributes.text("supplier_owner_address"),
        session_id=attributes.text("session_id"),
        proof_requirement=attributes.integer("proof_requirement_int"),
        settled_upokt=attributes.upokt("settled_upokt"),
        minted_upokt=attributes.upokt("minted_upokt"),
        overservicing_loss_upokt=attributes.upokt("overservicing_loss_upokt"),
        deflation_loss_upokt=attributes.upokt("deflation_loss_upokt"),
        mint_ratio=attributes.text("mint_ratio"),
        rewards_upokt=attributes.shares("reward_distribution"),
    )


def _expired(attributes: _Attributes) -> ClaimExpired:
    reasons = dict(tokenomics_pb2.ClaimExpirationReason.items())
    return ClaimExpired(
        **attributes.claim(),
        **attributes.volume(),
        expiration_reason=reasons.get(attributes.text("expiration_reason"), 0),
    )


def _slashed(attributes: _Attributes) -> SupplierSlashed:
    return SupplierSlashed(
        **attributes.claim(),
        penalty_upokt=attributes.upokt("proof_missing_penalty"),
        stake_after_slash_upokt=attributes.upokt("supplier_stake_after_slash"),
    )


def _discarded(attributes: _Attributes) -> ClaimDiscarded:
    return ClaimDiscarded(**attributes.claim(), error=attributes.text("error"))


def _overserviced(attributes: _Attributes) -> ApplicationOverserviced:
    return ApplicationOverserviced(
        supplier_operator_address=attributes.text("supplier_operator_addr"),
        service_id=attributes.text("service_id"),
        application_address=attributes.text("application_addr"),
        session_end_height=attributes.integer("session_end_block_height"),
        expected_burn_upokt=attributes.upokt("expected_burn"),
        effective_burn_upokt=attributes.upokt("effective_burn"),
        is_spend_limit=attributes.text("spend_limit_exceeded") == "true",
    )


_PARSERS: dict[str, Callable[[_Attributes], SettlementEvent]] = {
    CLAIM_SETTLED: _settled,
    CLAIM_EXPIRED: _expired,
    SUPPLIER_SLASHED: _slashed,
    CLAIM_DISCARDED: _discarded,
    APPLICATION_OVERSERVICED: _overserviced,
}
