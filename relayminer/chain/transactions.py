"""Transactions as bytes: unordered, bounded in time, signed in DIRECT mode. No I/O.

Source: wire.md 6 and 15.1 (`pocket-relay-miner: tx/tx_client.go`,
`cosmos-sdk: proto/cosmos/tx/v1beta1/tx.proto`). The body has messages, memo, `unordered` and
`timeout_timestamp`; the sequence stays 0; there is neither payer nor granter.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from attrs import frozen
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2
from cosmpy.protos.cosmos.crypto.secp256k1 import keys_pb2
from cosmpy.protos.cosmos.tx.signing.v1beta1 import signing_pb2
from cosmpy.protos.cosmos.tx.v1beta1 import tx_pb2
from google.protobuf import any_pb2, timestamp_pb2

from relayminer.protocol import codec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from relayminer.chain.fees import Fee
    from relayminer.protocol.signature import SigningKey

NANOSECONDS = 1_000_000_000

DEFAULT_LIFETIME_SECONDS = 120.0
"""Life of a transaction when nothing is known about its window; also the shortest one."""
MAX_LIFETIME_SECONDS = 590.0
"""The chain refuses an unordered transaction that would live for 10 minutes or more."""
WINDOW_RESERVE_SECONDS = 60.0
"""What is kept back of a window, for blocks that come late."""

_PUBLIC_KEY_URL = "/cosmos.crypto.secp256k1.PubKey"


@frozen
class BuiltTransaction:
    """A signed transaction.

    Attributes:
        tx_bytes: TxRaw, ready for broadcast.
        tx_hash: upper-case hex of SHA-256 over them.
    """

    tx_bytes: bytes
    tx_hash: str


def lifetime_for_window(
    window_seconds: float, *, max_seconds: float = MAX_LIFETIME_SECONDS
) -> float:
    """How long a transaction may live when its window stays open for `window_seconds`.

    0 or less means that the window is not known. The lower bound may reach past the end of a
    window: the chain then refuses the message, which costs a fee but does no harm.
    """
    if window_seconds <= 0:
        return min(DEFAULT_LIFETIME_SECONDS, max_seconds)
    wanted = max(window_seconds - WINDOW_RESERVE_SECONDS, DEFAULT_LIFETIME_SECONDS)
    return min(wanted, max_seconds)


def tx_hash(tx_bytes: bytes) -> str:
    """The name of a transaction: upper-case hex of SHA-256 over its TxRaw bytes."""
    return hashlib.sha256(tx_bytes).hexdigest().upper()


def _encoded(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def packed(message: Message) -> any_pb2.Any:
    """`message` in an `Any` whose type URL is `/` and its full name."""
    return any_pb2.Any(
        type_url=f"/{message.DESCRIPTOR.full_name}",
        value=codec.encode(message),
    )


def body_bytes(messages: Sequence[Message], memo: str, timeout_timestamp_ns: int) -> bytes:
    """TxBody: fields 1, 2, 4 and 5.

    Args:
        messages: as they are executed, in order.
        memo: at most 256 characters, or the chain refuses.
        timeout_timestamp_ns: Unix nanoseconds after which no block may include the transaction;
            together with the signer it is what makes the transaction unique.
    """
    seconds, nanos = divmod(timeout_timestamp_ns, NANOSECONDS)
    body = tx_pb2.TxBody(
        messages=[packed(message) for message in messages],
        memo=memo,
        unordered=True,
        timeout_timestamp=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos),
    )
    return _encoded(body)


def auth_info_bytes(public_key: bytes, gas_limit: int, fee: Fee | None) -> bytes:
    """AuthInfo of one signer with sequence 0; without a fee the list of coins is empty."""
    signer = tx_pb2.SignerInfo(
        public_key=any_pb2.Any(
            type_url=_PUBLIC_KEY_URL,
            value=_encoded(keys_pb2.PubKey(key=public_key)),
        ),
        mode_info=tx_pb2.ModeInfo(single=tx_pb2.ModeInfo.Single(mode=signing_pb2.SIGN_MODE_DIRECT)),
    )
    coins = []
    if fee is not None:
        coins.append(coin_pb2.Coin(denom=fee.denomination, amount=str(fee.amount)))
    info = tx_pb2.AuthInfo(signer_infos=[signer], fee=tx_pb2.Fee(amount=coins, gas_limit=gas_limit))
    return _encoded(info)


def sign_doc_bytes(body: bytes, auth_info: bytes, chain_id: str, account_number: int) -> bytes:
    """What the signer signs; an account number of 0 leaves its field out."""
    document = tx_pb2.SignDoc(
        body_bytes=body,
        auth_info_bytes=auth_info,
        chain_id=chain_id,
        account_number=account_number,
    )
    return _encoded(document)


def build_transaction(
    messages: Sequence[Message],
    key: SigningKey,
    *,
    account_number: int,
    chain_id: str,
    gas_limit: int,
    fee: Fee | None,
    memo: str,
    timeout_timestamp_ns: int,
) -> BuiltTransaction:
    """Build and sign one transaction.

    Simulation takes the same with gas limit 0 and no fee. The signature is deterministic
    (RFC 6979), so equal arguments give equal bytes and a repeated broadcast is recognised.
    """
    body = body_bytes(messages, memo, timeout_timestamp_ns)
    auth_info = auth_info_bytes(key.public_key, gas_limit, fee)
    signature = key.sign(sign_doc_bytes(body, auth_info, chain_id, account_number))
    raw = tx_pb2.TxRaw(body_bytes=body, auth_info_bytes=auth_info, signatures=[signature])
    tx_bytes = _encoded(raw)
    return BuiltTransaction(tx_bytes, tx_hash(tx_bytes))
