"""The public surface: everything that a plugin needs, and nothing else.

A plugin is a class behind an entry point of one of three groups. It is made once, without
arguments, and used from one Trio loop. First-party plugins use only this module, so what they can
do a third party can do:

```toml
[project.entry-points."relayminer.transports"]
carrier-pigeon = "pigeon:PigeonTransport"
```
"""

from __future__ import annotations

from relayminer.chain.errors import NotFoundError, UnsupportedQueryError
from relayminer.config.settings import KeySettings
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.sources import EncryptedFile, KeyringSource, KeysDirectory, KeysFile
from relayminer.net.errors import (
    NetError,
    RequestRefusedError,
    WireError,
    WireTimeoutError,
)
from relayminer.net.http1 import (
    Headers,
    HttpLimits,
    Request,
    RequestReader,
    linger,
    response_bytes,
    stream_head,
)
from relayminer.net.wire import AnyWire, Wire
from relayminer.plugin.bridges import (
    BackendTarget,
    Bridge,
    BridgeCall,
    BridgeEnd,
    BridgeLimits,
    Connect,
)
from relayminer.plugin.caches import ALL, CacheType, ChainReader, Moment
from relayminer.plugin.registry import (
    KeyProvider,
    PluginError,
    load_cache_types,
    load_key_providers,
    load_plugins,
    load_transports,
)
from relayminer.plugin.transports import (
    AnswerSink,
    Claim,
    Engine,
    RelayAnswer,
    RelayCall,
    RequestTaker,
    StreamAnswer,
    Transport,
)
from relayminer.protocol import codec
from relayminer.protocol.pb import (
    application_pb2,
    http_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)
from relayminer.protocol.signature import SigningKey
from relayminer.state.json_forms import (
    parse_session,
    parse_shared_params,
    session_json,
    shared_params_json,
)
from relayminer.state.names import KeyNames

decode_message = codec.decode
"""A chain message from its protobuf bytes, by the chain's rules."""

encode_message = codec.encode
"""The canonical protobuf bytes of a chain message."""

__all__ = [
    "ALL",
    "AnswerSink",
    "AnyWire",
    "BackendTarget",
    "Bridge",
    "BridgeCall",
    "BridgeEnd",
    "BridgeLimits",
    "CacheType",
    "ChainReader",
    "Claim",
    "Connect",
    "EncryptedFile",
    "Engine",
    "Headers",
    "HttpLimits",
    "KeyLoadError",
    "KeyNames",
    "KeyProvider",
    "KeySettings",
    "KeyringSource",
    "KeysDirectory",
    "KeysFile",
    "Moment",
    "NetError",
    "NotFoundError",
    "PluginError",
    "RelayAnswer",
    "RelayCall",
    "Request",
    "RequestReader",
    "RequestRefusedError",
    "RequestTaker",
    "SigningKey",
    "StreamAnswer",
    "Transport",
    "UnsupportedQueryError",
    "Wire",
    "WireError",
    "WireTimeoutError",
    "application_pb2",
    "decode_message",
    "encode_message",
    "http_pb2",
    "linger",
    "load_cache_types",
    "load_key_providers",
    "load_plugins",
    "load_transports",
    "parse_session",
    "parse_shared_params",
    "proof_pb2",
    "response_bytes",
    "service_pb2",
    "session_json",
    "session_pb2",
    "shared_params_json",
    "shared_pb2",
    "stream_head",
    "supplier_pb2",
]
