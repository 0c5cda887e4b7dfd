from cosmpy.protos.gogoproto import gogo_pb2 as _gogo_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClaimExpirationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPIRATION_REASON_UNSPECIFIED: _ClassVar[ClaimExpirationReason]
    PROOF_MISSING: _ClassVar[ClaimExpirationReason]
    PROOF_INVALID: _ClassVar[ClaimExpirationReason]

class SettlementOpReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNSPECIFIED: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_SUPPLIER_STAKE_MINT: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_STAKE_BURN: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_INFLATION: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_DAO_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_APPLICATION_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_REIMBURSEMENT_REQUEST_ESCROW_DAO_TRANSFER: _ClassVar[SettlementOpReason]
    UNSPECIFIED_TLM_SUPPLIER_SLASH_MODULE_TRANSFER: _ClassVar[SettlementOpReason]
    UNSPECIFIED_TLM_SUPPLIER_SLASH_STAKE_BURN: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_SUPPLIER_SHAREHOLDER_REWARD_MODULE_TRANSFER: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_REIMBURSEMENT_REQUEST_ESCROW_MODULE_TRANSFER: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_DAO_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_TOKENOMICS_CLAIM_DISTRIBUTION_MINT: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_VALIDATOR_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_VALIDATOR_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_RELAY_BURN_EQUALS_MINT_DELEGATOR_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
    TLM_GLOBAL_MINT_DELEGATOR_REWARD_DISTRIBUTION: _ClassVar[SettlementOpReason]
EXPIRATION_REASON_UNSPECIFIED: ClaimExpirationReason
PROOF_MISSING: ClaimExpirationReason
PROOF_INVALID: ClaimExpirationReason
UNSPECIFIED: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_SUPPLIER_STAKE_MINT: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_STAKE_BURN: SettlementOpReason
TLM_GLOBAL_MINT_INFLATION: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_DAO_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_SUPPLIER_SHAREHOLDER_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_APPLICATION_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_REIMBURSEMENT_REQUEST_ESCROW_DAO_TRANSFER: SettlementOpReason
UNSPECIFIED_TLM_SUPPLIER_SLASH_MODULE_TRANSFER: SettlementOpReason
UNSPECIFIED_TLM_SUPPLIER_SLASH_STAKE_BURN: SettlementOpReason
TLM_GLOBAL_MINT_SUPPLIER_SHAREHOLDER_REWARD_MODULE_TRANSFER: SettlementOpReason
TLM_GLOBAL_MINT_REIMBURSEMENT_REQUEST_ESCROW_MODULE_TRANSFER: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_DAO_REWARD_DISTRIBUTION: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_SOURCE_OWNER_REWARD_DISTRIBUTION: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_APPLICATION_REWARD_DISTRIBUTION: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_TOKENOMICS_CLAIM_DISTRIBUTION_MINT: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_VALIDATOR_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_VALIDATOR_REWARD_DISTRIBUTION: SettlementOpReason
TLM_RELAY_BURN_EQUALS_MINT_DELEGATOR_REWARD_DISTRIBUTION: SettlementOpReason
TLM_GLOBAL_MINT_DELEGATOR_REWARD_DISTRIBUTION: SettlementOpReason

class MintAllocationPercentages(_message.Message):
    __slots__ = ("dao", "proposer", "supplier", "source_owner", "application")
    DAO_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_OWNER_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    dao: float
    proposer: float
    supplier: float
    source_owner: float
    application: float
    def __init__(self, dao: _Optional[float] = ..., proposer: _Optional[float] = ..., supplier: _Optional[float] = ..., source_owner: _Optional[float] = ..., application: _Optional[float] = ...) -> None: ...

class MintEqualsBurnClaimDistribution(_message.Message):
    __slots__ = ("dao", "proposer", "supplier", "source_owner", "application")
    DAO_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_OWNER_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    dao: float
    proposer: float
    supplier: float
    source_owner: float
    application: float
    def __init__(self, dao: _Optional[float] = ..., proposer: _Optional[float] = ..., supplier: _Optional[float] = ..., source_owner: _Optional[float] = ..., application: _Optional[float] = ...) -> None: ...

class Params(_message.Message):
    __slots__ = ("mint_allocation_percentages", "dao_reward_address", "global_inflation_per_claim", "mint_equals_burn_claim_distribution", "mint_ratio", "overservicing_bonus_multiplier")
    MINT_ALLOCATION_PERCENTAGES_FIELD_NUMBER: _ClassVar[int]
    DAO_REWARD_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_INFLATION_PER_CLAIM_FIELD_NUMBER: _ClassVar[int]
    MINT_EQUALS_BURN_CLAIM_DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    MINT_RATIO_FIELD_NUMBER: _ClassVar[int]
    OVERSERVICING_BONUS_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    mint_allocation_percentages: MintAllocationPercentages
    dao_reward_address: str
    global_inflation_per_claim: float
    mint_equals_burn_claim_distribution: MintEqualsBurnClaimDistribution
    mint_ratio: float
    overservicing_bonus_multiplier: int
    def __init__(self, mint_allocation_percentages: _Optional[_Union[MintAllocationPercentages, _Mapping[str, _Any]]] = ..., dao_reward_address: _Optional[str] = ..., global_inflation_per_claim: _Optional[float] = ..., mint_equals_burn_claim_distribution: _Optional[_Union[MintEqualsBurnClaimDistribution, _Mapping[str, _Any]]] = ..., mint_ratio: _Optional[float] = ..., overservicing_bonus_multiplier: _Optional[int] = ...) -> None: ...

class QueryParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsResponse(_message.Message):
    __slots__ = ("params",)
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    params: Params
    def __init__(self, params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class MsgUpdateParams(_message.Message):
    __slots__ = ("authority", "params")
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    authority: str
    params: Params
    def __init__(self, authority: _Optional[str] = ..., params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class MsgUpdateParamsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RewardDistributionDetail(_message.Message):
    __slots__ = ("recipient_address", "op_reason", "amount")
    RECIPIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OP_REASON_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    recipient_address: str
    op_reason: SettlementOpReason
    amount: str
    def __init__(self, recipient_address: _Optional[str] = ..., op_reason: _Optional[_Union[SettlementOpReason, str]] = ..., amount: _Optional[str] = ...) -> None: ...

class EventClaimSettled(_message.Message):
    __slots__ = ("proof_requirement_int", "num_relays", "num_claimed_compute_units", "num_estimated_compute_units", "claimed_upokt", "service_id", "application_address", "session_end_block_height", "claim_proof_status_int", "supplier_operator_address", "reward_distribution", "reward_distribution_detailed", "settled_upokt", "mint_ratio", "session_id", "supplier_owner_address", "num_estimated_relays", "minted_upokt", "overservicing_loss_upokt", "deflation_loss_upokt")
    class RewardDistributionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROOF_REQUIREMENT_INT_FIELD_NUMBER: _ClassVar[int]
    NUM_RELAYS_FIELD_NUMBER: _ClassVar[int]
    NUM_CLAIMED_COMPUTE_UNITS_FIELD_NUMBER: _ClassVar[int]
    NUM_ESTIMATED_COMPUTE_UNITS_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_UPOKT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROOF_STATUS_INT_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REWARD_DISTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    REWARD_DISTRIBUTION_DETAILED_FIELD_NUMBER: _ClassVar[int]
    SETTLED_UPOKT_FIELD_NUMBER: _ClassVar[int]
    MINT_RATIO_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OWNER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NUM_ESTIMATED_RELAYS_FIELD_NUMBER: _ClassVar[int]
    MINTED_UPOKT_FIELD_NUMBER: _ClassVar[int]
    OVERSERVICING_LOSS_UPOKT_FIELD_NUMBER: _ClassVar[int]
    DEFLATION_LOSS_UPOKT_FIELD_NUMBER: _ClassVar[int]
    proof_requirement_int: int
    num_relays: int
    num_claimed_compute_units: int
    num_estimated_compute_units: int
    claimed_upokt: str
    service_id: str
    application_address: str
    session_end_block_height: int
    claim_proof_status_int: int
    supplier_operator_address: str
    reward_distribution: _containers.ScalarMap[str, str]
    reward_distribution_detailed: _containers.RepeatedCompositeFieldContainer[RewardDistributionDetail]
    settled_upokt: str
    mint_ratio: str
    session_id: str
    supplier_owner_address: str
    num_estimated_relays: int
    minted_upokt: str
    overservicing_loss_upokt: str
    deflation_loss_upokt: str
    def __init__(self, proof_requirement_int: _Optional[int] = ..., num_relays: _Optional[int] = ..., num_claimed_compute_units: _Optional[int] = ..., num_estimated_compute_units: _Optional[int] = ..., claimed_upokt: _Optional[str] = ..., service_id: _Optional[str] = ..., application_address: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., claim_proof_status_int: _Optional[int] = ..., supplier_operator_address: _Optional[str] = ..., reward_distribution: _Optional[_Mapping[str, str]] = ..., reward_distribution_detailed: _Optional[_Iterable[_Union[RewardDistributionDetail, _Mapping[str, _Any]]]] = ..., settled_upokt: _Optional[str] = ..., mint_ratio: _Optional[str] = ..., session_id: _Optional[str] = ..., supplier_owner_address: _Optional[str] = ..., num_estimated_relays: _Optional[int] = ..., minted_upokt: _Optional[str] = ..., overservicing_loss_upokt: _Optional[str] = ..., deflation_loss_upokt: _Optional[str] = ...) -> None: ...

class EventClaimExpired(_message.Message):
    __slots__ = ("expiration_reason", "num_relays", "num_claimed_compute_units", "num_estimated_compute_units", "claimed_upokt", "service_id", "application_address", "session_end_block_height", "claim_proof_status_int", "supplier_operator_address", "num_estimated_relays")
    EXPIRATION_REASON_FIELD_NUMBER: _ClassVar[int]
    NUM_RELAYS_FIELD_NUMBER: _ClassVar[int]
    NUM_CLAIMED_COMPUTE_UNITS_FIELD_NUMBER: _ClassVar[int]
    NUM_ESTIMATED_COMPUTE_UNITS_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_UPOKT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROOF_STATUS_INT_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NUM_ESTIMATED_RELAYS_FIELD_NUMBER: _ClassVar[int]
    expiration_reason: ClaimExpirationReason
    num_relays: int
    num_claimed_compute_units: int
    num_estimated_compute_units: int
    claimed_upokt: str
    service_id: str
    application_address: str
    session_end_block_height: int
    claim_proof_status_int: int
    supplier_operator_address: str
    num_estimated_relays: int
    def __init__(self, expiration_reason: _Optional[_Union[ClaimExpirationReason, str]] = ..., num_relays: _Optional[int] = ..., num_claimed_compute_units: _Optional[int] = ..., num_estimated_compute_units: _Optional[int] = ..., claimed_upokt: _Optional[str] = ..., service_id: _Optional[str] = ..., application_address: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., claim_proof_status_int: _Optional[int] = ..., supplier_operator_address: _Optional[str] = ..., num_estimated_relays: _Optional[int] = ...) -> None: ...

class EventSupplierSlashed(_message.Message):
    __slots__ = ("proof_missing_penalty", "service_id", "application_address", "session_end_block_height", "claim_proof_status_int", "supplier_operator_address", "supplier_stake_after_slash")
    PROOF_MISSING_PENALTY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROOF_STATUS_INT_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_STAKE_AFTER_SLASH_FIELD_NUMBER: _ClassVar[int]
    proof_missing_penalty: str
    service_id: str
    application_address: str
    session_end_block_height: int
    claim_proof_status_int: int
    supplier_operator_address: str
    supplier_stake_after_slash: str
    def __init__(self, proof_missing_penalty: _Optional[str] = ..., service_id: _Optional[str] = ..., application_address: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., claim_proof_status_int: _Optional[int] = ..., supplier_operator_address: _Optional[str] = ..., supplier_stake_after_slash: _Optional[str] = ...) -> None: ...

class EventClaimDiscarded(_message.Message):
    __slots__ = ("error", "service_id", "application_address", "session_end_block_height", "claim_proof_status_int", "supplier_operator_address")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROOF_STATUS_INT_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    error: str
    service_id: str
    application_address: str
    session_end_block_height: int
    claim_proof_status_int: int
    supplier_operator_address: str
    def __init__(self, error: _Optional[str] = ..., service_id: _Optional[str] = ..., application_address: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., claim_proof_status_int: _Optional[int] = ..., supplier_operator_address: _Optional[str] = ...) -> None: ...

class EventApplicationOverserviced(_message.Message):
    __slots__ = ("application_addr", "supplier_operator_addr", "expected_burn", "effective_burn", "service_id", "session_end_block_height", "spend_limit_exceeded")
    APPLICATION_ADDR_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDR_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BURN_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_BURN_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SPEND_LIMIT_EXCEEDED_FIELD_NUMBER: _ClassVar[int]
    application_addr: str
    supplier_operator_addr: str
    expected_burn: str
    effective_burn: str
    service_id: str
    session_end_block_height: int
    spend_limit_exceeded: bool
    def __init__(self, application_addr: _Optional[str] = ..., supplier_operator_addr: _Optional[str] = ..., expected_burn: _Optional[str] = ..., effective_burn: _Optional[str] = ..., service_id: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., spend_limit_exceeded: bool = ...) -> None: ...

class EventApplicationReimbursementRequest(_message.Message):
    __slots__ = ("application_addr", "supplier_operator_addr", "supplier_owner_addr", "service_id", "session_id", "amount")
    APPLICATION_ADDR_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OPERATOR_ADDR_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OWNER_ADDR_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    application_addr: str
    supplier_operator_addr: str
    supplier_owner_addr: str
    service_id: str
    session_id: str
    amount: str
    def __init__(self, application_addr: _Optional[str] = ..., supplier_operator_addr: _Optional[str] = ..., supplier_owner_addr: _Optional[str] = ..., service_id: _Optional[str] = ..., session_id: _Optional[str] = ..., amount: _Optional[str] = ...) -> None: ...

class EventSettlementBatch(_message.Message):
    __slots__ = ("session_end_block_height", "sender_module", "recipient", "op_reason", "total_amount", "num_claims", "op_type")
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SENDER_MODULE_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    OP_REASON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    NUM_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    OP_TYPE_FIELD_NUMBER: _ClassVar[int]
    session_end_block_height: int
    sender_module: str
    recipient: str
    op_reason: SettlementOpReason
    total_amount: str
    num_claims: int
    op_type: str
    def __init__(self, session_end_block_height: _Optional[int] = ..., sender_module: _Optional[str] = ..., recipient: _Optional[str] = ..., op_reason: _Optional[_Union[SettlementOpReason, str]] = ..., total_amount: _Optional[str] = ..., num_claims: _Optional[int] = ..., op_type: _Optional[str] = ...) -> None: ...

class EventValidatorRewardDistribution(_message.Message):
    __slots__ = ("session_end_block_height", "op_reason", "validator_operator_address", "validator_account_address", "commission_rate", "pool_share_upokt", "commission_upokt", "self_delegation_reward_upokt", "delegators_reward_upokt", "total_delegated_stake_upokt", "num_delegators")
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    OP_REASON_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_ACCOUNT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMMISSION_RATE_FIELD_NUMBER: _ClassVar[int]
    POOL_SHARE_UPOKT_FIELD_NUMBER: _ClassVar[int]
    COMMISSION_UPOKT_FIELD_NUMBER: _ClassVar[int]
    SELF_DELEGATION_REWARD_UPOKT_FIELD_NUMBER: _ClassVar[int]
    DELEGATORS_REWARD_UPOKT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DELEGATED_STAKE_UPOKT_FIELD_NUMBER: _ClassVar[int]
    NUM_DELEGATORS_FIELD_NUMBER: _ClassVar[int]
    session_end_block_height: int
    op_reason: SettlementOpReason
    validator_operator_address: str
    validator_account_address: str
    commission_rate: str
    pool_share_upokt: str
    commission_upokt: str
    self_delegation_reward_upokt: str
    delegators_reward_upokt: str
    total_delegated_stake_upokt: str
    num_delegators: int
    def __init__(self, session_end_block_height: _Optional[int] = ..., op_reason: _Optional[_Union[SettlementOpReason, str]] = ..., validator_operator_address: _Optional[str] = ..., validator_account_address: _Optional[str] = ..., commission_rate: _Optional[str] = ..., pool_share_upokt: _Optional[str] = ..., commission_upokt: _Optional[str] = ..., self_delegation_reward_upokt: _Optional[str] = ..., delegators_reward_upokt: _Optional[str] = ..., total_delegated_stake_upokt: _Optional[str] = ..., num_delegators: _Optional[int] = ...) -> None: ...

class EventSupplierRevShareFallbackDistribution(_message.Message):
    __slots__ = ("supplier_operator_address", "supplier_owner_address", "service_id", "session_end_block_height", "amount", "op_reason", "observed_sum_percentage", "reason")
    SUPPLIER_OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_OWNER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    OP_REASON_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_SUM_PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    supplier_operator_address: str
    supplier_owner_address: str
    service_id: str
    session_end_block_height: int
    amount: str
    op_reason: SettlementOpReason
    observed_sum_percentage: int
    reason: str
    def __init__(self, supplier_operator_address: _Optional[str] = ..., supplier_owner_address: _Optional[str] = ..., service_id: _Optional[str] = ..., session_end_block_height: _Optional[int] = ..., amount: _Optional[str] = ..., op_reason: _Optional[_Union[SettlementOpReason, str]] = ..., observed_sum_percentage: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
