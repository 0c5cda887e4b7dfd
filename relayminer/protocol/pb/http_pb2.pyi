from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import Any as _Any, ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Header(_message.Message):
    __slots__ = ("key", "values")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class POKTHTTPRequest(_message.Message):
    __slots__ = ("method", "header", "url", "body_bz")
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Header
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Header, _Mapping[str, _Any]]] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    BODY_BZ_FIELD_NUMBER: _ClassVar[int]
    method: str
    header: _containers.MessageMap[str, Header]
    url: str
    body_bz: bytes
    def __init__(self, method: _Optional[str] = ..., header: _Optional[_Mapping[str, Header]] = ..., url: _Optional[str] = ..., body_bz: _Optional[bytes] = ...) -> None: ...

class POKTHTTPResponse(_message.Message):
    __slots__ = ("status_code", "header", "body_bz")
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Header
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Header, _Mapping[str, _Any]]] = ...) -> None: ...
    STATUS_CODE_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_BZ_FIELD_NUMBER: _ClassVar[int]
    status_code: int
    header: _containers.MessageMap[str, Header]
    body_bz: bytes
    def __init__(self, status_code: _Optional[int] = ..., header: _Optional[_Mapping[str, Header]] = ..., body_bz: _Optional[bytes] = ...) -> None: ...
