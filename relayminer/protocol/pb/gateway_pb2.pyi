from cosmpy.protos.cosmos.base.query.v1beta1 import pagination_pb2 as _pagination_pb2
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2 as _coin_pb2
from cosmpy.protos.gogoproto import gogo_pb2 as _gogo_pb2
from relayminer.protocol.pb import shared_pb2 as _shared_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Gateway(_message.Message):
    __slots__ = ("address", "stake", "unstake_session_end_height", "metadata")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STAKE_FIELD_NUMBER: _ClassVar[int]
    UNSTAKE_SESSION_END_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    address: str
    stake: _coin_pb2.Coin
    unstake_session_end_height: int
    metadata: _shared_pb2.Metadata
    def __init__(self, address: _Optional[str] = ..., stake: _Optional[_Union[_coin_pb2.Coin, _Mapping[str, _Any]]] = ..., unstake_session_end_height: _Optional[int] = ..., metadata: _Optional[_Union[_shared_pb2.Metadata, _Mapping[str, _Any]]] = ...) -> None: ...

class Params(_message.Message):
    __slots__ = ("min_stake",)
    MIN_STAKE_FIELD_NUMBER: _ClassVar[int]
    min_stake: _coin_pb2.Coin
    def __init__(self, min_stake: _Optional[_Union[_coin_pb2.Coin, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsResponse(_message.Message):
    __slots__ = ("params",)
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    params: Params
    def __init__(self, params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryGetGatewayRequest(_message.Message):
    __slots__ = ("address", "dehydrated")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DEHYDRATED_FIELD_NUMBER: _ClassVar[int]
    address: str
    dehydrated: bool
    def __init__(self, address: _Optional[str] = ..., dehydrated: bool = ...) -> None: ...

class QueryGetGatewayResponse(_message.Message):
    __slots__ = ("gateway",)
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    gateway: Gateway
    def __init__(self, gateway: _Optional[_Union[Gateway, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryAllGatewaysRequest(_message.Message):
    __slots__ = ("pagination", "dehydrated")
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    DEHYDRATED_FIELD_NUMBER: _ClassVar[int]
    pagination: _pagination_pb2.PageRequest
    dehydrated: bool
    def __init__(self, pagination: _Optional[_Union[_pagination_pb2.PageRequest, _Mapping[str, _Any]]] = ..., dehydrated: bool = ...) -> None: ...

class QueryAllGatewaysResponse(_message.Message):
    __slots__ = ("gateways", "pagination")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    PAGINATION_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedCompositeFieldContainer[Gateway]
    pagination: _pagination_pb2.PageResponse
    def __init__(self, gateways: _Optional[_Iterable[_Union[Gateway, _Mapping[str, _Any]]]] = ..., pagination: _Optional[_Union[_pagination_pb2.PageResponse, _Mapping[str, _Any]]] = ...) -> None: ...

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
