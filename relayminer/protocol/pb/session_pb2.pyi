from cosmpy.protos.gogoproto import gogo_pb2 as _gogo_pb2
from relayminer.protocol.pb import application_pb2 as _application_pb2
from relayminer.protocol.pb import shared_pb2 as _shared_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionHeader(_message.Message):
    __slots__ = ("application_address", "service_id", "session_id", "session_start_block_height", "session_end_block_height")
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_START_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SESSION_END_BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    application_address: str
    service_id: str
    session_id: str
    session_start_block_height: int
    session_end_block_height: int
    def __init__(self, application_address: _Optional[str] = ..., service_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_start_block_height: _Optional[int] = ..., session_end_block_height: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("header", "session_id", "session_number", "num_blocks_per_session", "application", "suppliers")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NUM_BLOCKS_PER_SESSION_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    SUPPLIERS_FIELD_NUMBER: _ClassVar[int]
    header: SessionHeader
    session_id: str
    session_number: int
    num_blocks_per_session: int
    application: _application_pb2.Application
    suppliers: _containers.RepeatedCompositeFieldContainer[_shared_pb2.Supplier]
    def __init__(self, header: _Optional[_Union[SessionHeader, _Mapping[str, _Any]]] = ..., session_id: _Optional[str] = ..., session_number: _Optional[int] = ..., num_blocks_per_session: _Optional[int] = ..., application: _Optional[_Union[_application_pb2.Application, _Mapping[str, _Any]]] = ..., suppliers: _Optional[_Iterable[_Union[_shared_pb2.Supplier, _Mapping[str, _Any]]]] = ...) -> None: ...

class Params(_message.Message):
    __slots__ = ("num_suppliers_per_session",)
    NUM_SUPPLIERS_PER_SESSION_FIELD_NUMBER: _ClassVar[int]
    num_suppliers_per_session: int
    def __init__(self, num_suppliers_per_session: _Optional[int] = ...) -> None: ...

class ParamsUpdate(_message.Message):
    __slots__ = ("effective_height", "params")
    EFFECTIVE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    effective_height: int
    params: Params
    def __init__(self, effective_height: _Optional[int] = ..., params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryParamsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QueryParamsResponse(_message.Message):
    __slots__ = ("params",)
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    params: Params
    def __init__(self, params: _Optional[_Union[Params, _Mapping[str, _Any]]] = ...) -> None: ...

class QueryGetSessionRequest(_message.Message):
    __slots__ = ("application_address", "service_id", "block_height")
    APPLICATION_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    application_address: str
    service_id: str
    block_height: int
    def __init__(self, application_address: _Optional[str] = ..., service_id: _Optional[str] = ..., block_height: _Optional[int] = ...) -> None: ...

class QueryGetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping[str, _Any]]] = ...) -> None: ...

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

class MsgUpdateParam(_message.Message):
    __slots__ = ("authority", "name", "as_uint64")
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AS_UINT64_FIELD_NUMBER: _ClassVar[int]
    authority: str
    name: str
    as_uint64: int
    def __init__(self, authority: _Optional[str] = ..., name: _Optional[str] = ..., as_uint64: _Optional[int] = ...) -> None: ...

class MsgUpdateParamResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
