from cosmpy.protos.cosmos.base.query.v1beta1 import pagination_pb2 as _pagination_pb2
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2 as _coin_pb2
from cosmpy.protos.gogoproto import gogo_pb2 as _gogo_pb2
from relayminer.protocol.pb import shared_pb2 as _shared_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SupplierUnbondingReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUPPLIER_UNBONDING_REASON_UNSPECIFIED: _ClassVar[SupplierUnbondingReason]
    SUPPLIER_UNBONDING_REASON_VOLUNTARY: _ClassVar[SupplierUnbondingReason]
    SUPPLIER_UNBONDING_REASON_BELOW_MIN_STAKE: _ClassVar[SupplierUnbondingReason]
    SUPPLIER_UNBONDING_REASON_MIGRATION: _ClassVar[SupplierUnbondingReason]
SUPPLIER_UNBONDING_REASON_UNSPECIFIED: SupplierUnbondingReason
SUPPLIER_UNBONDING_REASON_VOLUNTARY: SupplierUnbondingReason
SUPPLIER_UNBONDING_REASON_BELOW_MIN_STAKE: SupplierUnbondingReason
SUPPLIER_UNBONDING_REASON_MIGRATION: SupplierUnbondingReason

class Params(_message.Message):
    __slots__ = ("min_stake", "staking_fee")
    MIN_STAKE_FIELD_NUMBER: _ClassVar[int]
    STAKING_FEE_FIELD_NUMBER: _ClassVar[int]
    min_stake: _coin_pb2.Coin
    staking_fee: _coin_pb2.Coin
    def __init__(self, min_stake: _Optional[_Union[_coin_pb2.Coin, _Mapping[str, _Any]]] = ..., staking_fee: _Optional[_Union[_coin_pb2.Coin, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsResponse(_message.Message):
    __slots__ = ("params",)
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    params: Params
    def __init__(self, params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryGetSupplierRequest(_message.Message):
    __slots__ = ("operator_address", "dehydrated")
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DEHYDRATED_FIELD_NUMBER: _ClassVar[int]
    operator_address: str
    dehydrated: bool
    def __init__(self, operator_address: _Optional[str] = ..., dehydrated: bool = ...) -> None: ...

class QueryGetSupplierResponse(_message.Message):
    __slots__ = ("supplier",)
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    supplier: _shared_pb2.Supplier
    def __init__(self, supplier: _Optional[_Union[_shared_pb2.Supplier, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryAllSuppliersRequest(_message.Message):
    __slots__ = ("pagination", "service_id", "operator_address", "owner_address", "dehydrated")
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OWNER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DEHYDRATED_FIELD_NUMBER: _ClassVar[int]
    pagination: _pagination_pb2.PageRequest
    service_id: str
    operator_address: str
    owner_address: str
    dehydrated: bool
    def __init__(self, pagination: _Optional[_Union[_pagination_pb2.PageRequest, _Mapping[str, _Any]]] = ..., service_id: _Optional[str] = ..., operator_address: _Optional[str] = ..., owner_address: _Optional[str] = ..., dehydrated: bool = ...) -> None: ...

class QueryAllSuppliersResponse(_message.Message):
    __slots__ = ("supplier", "pagination")
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    supplier: _containers.RepeatedCompositeFieldContainer[_shared_pb2.Supplier]
    pagination: _pagination_pb2.PageResponse
    def __init__(self, supplier: _Optional[_Iterable[_Union[_shared_pb2.Supplier, _Mapping[str, _Any]]]] = ..., pagination: _Optional[_Union[_pagination_pb2.PageResponse, _Mapping[str, _Any]]] = ...) -> None: ...

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

class MsgStakeSupplier(_message.Message):
    __slots__ = ("signer", "owner_address", "operator_address", "stake", "services")
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    OWNER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STAKE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    signer: str
    owner_address: str
    operator_address: str
    stake: _coin_pb2.Coin
    services: _containers.RepeatedCompositeFieldContainer[_shared_pb2.SupplierServiceConfig]
    def __init__(self, signer: _Optional[str] = ..., owner_address: _Optional[str] = ..., operator_address: _Optional[str] = ..., stake: _Optional[_Union[_coin_pb2.Coin, _Mapping[str, _Any]]] = ..., services: _Optional[_Iterable[_Union[_shared_pb2.SupplierServiceConfig, _Mapping[str, _Any]]]] = ...) -> None: ...

class MsgStakeSupplierResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MsgUnstakeSupplier(_message.Message):
    __slots__ = ("signer", "operator_address")
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    signer: str
    operator_address: str
    def __init__(self, signer: _Optional[str] = ..., operator_address: _Optional[str] = ...) -> None: ...

class MsgUnstakeSupplierResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EventSupplierStaked(_message.Message):
    __slots__ = ("session_end_height", "operator_address")
    SESSION_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    session_end_height: int
    operator_address: str
    def __init__(self, session_end_height: _Optional[int] = ..., operator_address: _Optional[str] = ...) -> None: ...

class EventSupplierUnbondingBegin(_message.Message):
    __slots__ = ("supplier", "reason", "session_end_height", "unbonding_end_height")
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    UNBONDING_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    supplier: _shared_pb2.Supplier
    reason: SupplierUnbondingReason
    session_end_height: int
    unbonding_end_height: int
    def __init__(self, supplier: _Optional[_Union[_shared_pb2.Supplier, _Mapping[str, _Any]]] = ..., reason: _Optional[_Union[SupplierUnbondingReason, str]] = ..., session_end_height: _Optional[int] = ..., unbonding_end_height: _Optional[int] = ...) -> None: ...

class EventSupplierUnbondingEnd(_message.Message):
    __slots__ = ("supplier", "reason", "session_end_height", "unbonding_end_height")
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    UNBONDING_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    supplier: _shared_pb2.Supplier
    reason: SupplierUnbondingReason
    session_end_height: int
    unbonding_end_height: int
    def __init__(self, supplier: _Optional[_Union[_shared_pb2.Supplier, _Mapping[str, _Any]]] = ..., reason: _Optional[_Union[SupplierUnbondingReason, str]] = ..., session_end_height: _Optional[int] = ..., unbonding_end_height: _Optional[int] = ...) -> None: ...

class EventSupplierServiceConfigActivated(_message.Message):
    __slots__ = ("activation_height", "operator_address", "service_id")
    ACTIVATION_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    activation_height: int
    operator_address: str
    service_id: str
    def __init__(self, activation_height: _Optional[int] = ..., operator_address: _Optional[str] = ..., service_id: _Optional[str] = ...) -> None: ...
