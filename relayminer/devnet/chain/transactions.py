"""Transactions as bytes: decoding as strict as the chain's, sign documents, hashes.

Source: cosmos-sdk: x/auth/tx/decoder.go, types/tx.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen
from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import AuthInfo, SignDoc, TxBody, TxRaw
from google.protobuf.message import DecodeError as PbDecodeError
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-not-found]

from relayminer.devnet.chain.codes import SDK_TX_DECODE
from relayminer.devnet.chain.messages import MESSAGES, MessageKind
from relayminer.devnet.chain.text import NANOSECONDS
from relayminer.protocol.codec import decode
from relayminer.protocol.errors import DecodeError

if TYPE_CHECKING:
    from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import Fee, SignerInfo

    from relayminer.devnet.chain.errors import ChainError

M = TypeVar("M", bound=Message)

NON_CRITICAL_FIELD_BIT = 1 << 10
"""Unknown body fields with this bit in their number are let through."""


@frozen(slots=True)
class Packed:
    """One message of a transaction with what the chain knows about its kind."""

    type_url: str
    message: Message
    kind: MessageKind

    @property
    def signer(self) -> str:
        """The address that must sign for it."""
        signer: str = getattr(self.message, self.kind.signer_field)
        return signer


@frozen(slots=True)
class Transaction:
    """A decoded transaction; `raw` is what its hash and its size are taken of."""

    raw: bytes
    raw_tx: TxRaw
    body: TxBody
    auth_info: AuthInfo
    messages: tuple[Packed, ...]

    @property
    def fee(self) -> Fee:
        """Its fee; empty when none is given."""
        return self.auth_info.fee

    @property
    def signer_infos(self) -> tuple[SignerInfo, ...]:
        """Who signs, in order."""
        return tuple(self.auth_info.signer_infos)

    @property
    def signers(self) -> tuple[str, ...]:
        """The addresses that must sign: those of the messages, then the fee payer."""
        addresses = dict.fromkeys(each.signer for each in self.messages)
        if self.fee.payer:
            addresses[self.fee.payer] = None
        return tuple(addresses)

    @property
    def fee_payer(self) -> str:
        """Who pays the fee."""
        payer: str = self.fee.payer
        return payer or self.messages[0].signer

    @property
    def timeout_ns(self) -> int | None:
        """The timeout timestamp in nanoseconds since 1970; None when there is none."""
        if not self.body.HasField("timeout_timestamp"):
            return None
        stamp = self.body.timeout_timestamp
        total: int = stamp.seconds * NANOSECONDS + stamp.nanos
        return total

    def sign_bytes(self, chain_id: str, account_number: int) -> bytes:
        """What a SIGN_MODE_DIRECT signature covers."""
        document = SignDoc(
            body_bytes=self.raw_tx.body_bytes,
            auth_info_bytes=self.raw_tx.auth_info_bytes,
            chain_id=chain_id,
            account_number=account_number,
        )
        encoded: bytes = document.SerializeToString(deterministic=True)
        return encoded


def tx_hash(raw: bytes) -> bytes:
    """The 32-byte hash of a transaction."""
    return hashlib.sha256(raw).digest()


def decode_transaction(raw: bytes) -> Transaction:
    """Decode a transaction; raises `sdk` 2 (tx parse error)."""
    raw_tx = _parse(TxRaw, raw)
    body = _parse(TxBody, raw_tx.body_bytes)
    auth_info = _parse(AuthInfo, raw_tx.auth_info_bytes)
    packed = []
    for each in body.messages:
        kind = MESSAGES.get(each.type_url)
        if kind is None:
            raise _parse_error(f"unable to resolve type URL {each.type_url}")
        try:
            message = decode(kind.message_type, each.value)
        except DecodeError as error:
            raise _parse_error(str(error)) from error
        packed.append(Packed(each.type_url, message, kind))
    return Transaction(raw, raw_tx, body, auth_info, tuple(packed))


def _parse(kind: type[M], data: bytes) -> M:
    message = kind()
    try:
        message.ParseFromString(data)
    except PbDecodeError as error:
        raise _parse_error(
            "invalid length; proto:\N{NO-BREAK SPACE}invalid field number"
        ) from error
    for field in UnknownFieldSet(message):
        if kind is TxBody and field.field_number & NON_CRITICAL_FIELD_BIT:
            continue
        name = message.DESCRIPTOR.name
        raise _parse_error(
            f'errUnknownField "*tx.{name}": {{TagNum: {field.field_number}, '
            f"WireType:{field.wire_type}}}"
        )
    return message


def _parse_error(detail: str) -> ChainError:
    return SDK_TX_DECODE(f"{detail}: {SDK_TX_DECODE.text}")
