"""CometBFT's hashes: header, transactions, results, commit; and a validator's signature.

Source: cometbft: crypto/merkle, types/{block,validator_set,canonical,part_set}.go.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cosmpy.protos.tendermint.abci.types_pb2 import ExecTxResult
from cosmpy.protos.tendermint.crypto.keys_pb2 import PublicKey
from cosmpy.protos.tendermint.types import block_pb2, params_pb2, types_pb2
from cosmpy.protos.tendermint.types.validator_pb2 import SimpleValidator
from cosmpy.protos.tendermint.version.types_pb2 import Consensus
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, Int64Value, StringValue

from relayminer.devnet.chain.text import NANOSECONDS
from relayminer.devnet.chain.values import BlockId
from relayminer.protocol.codec import write_varint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message

    from relayminer.devnet.chain.values import Commit, CommitSignature, Header, TxResult

PART_BYTES = 65_536
PRECOMMIT = 2
EMPTY_HASH = hashlib.sha256(b"").digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root (32 bytes) of CometBFT's binary Merkle tree over `leaves`."""
    if not leaves:
        return EMPTY_HASH
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = merkle_root(leaves[:split]), merkle_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def header_hash(header: Header) -> bytes:
    """The hash that names a block."""
    fields = (
        _bytes(Consensus(block=header.version_block, app=header.version_app)),
        _bytes(StringValue(value=header.chain_id)),
        _bytes(Int64Value(value=header.height)),
        _bytes(timestamp(header.time_ns)),
        _bytes(block_id_message(header.last_block_id)),
        *(
            _bytes(BytesValue(value=value))
            for value in (
                header.last_commit_hash,
                header.data_hash,
                header.validators_hash,
                header.next_validators_hash,
                header.consensus_hash,
                header.app_hash,
                header.last_results_hash,
                header.evidence_hash,
                header.proposer_address,
            )
        ),
    )
    return merkle_root(fields)


def data_hash(txs: Iterable[bytes]) -> bytes:
    """The hash of a block's transactions."""
    return merkle_root([hashlib.sha256(tx).digest() for tx in txs])


def results_hash(results: Iterable[TxResult]) -> bytes:
    """The hash of what executing a block gave, in what all nodes agree on."""
    return merkle_root(
        [
            _bytes(
                ExecTxResult(
                    code=each.code,
                    data=each.data,
                    gas_wanted=each.gas_wanted,
                    gas_used=each.gas_used,
                )
            )
            for each in results
        ]
    )


def validators_hash(public_key: bytes, power: int) -> bytes:
    """The hash of a set of one validator."""
    validator = SimpleValidator(pub_key=PublicKey(ed25519=public_key), voting_power=power)
    return merkle_root([_bytes(validator)])


def consensus_hash(max_bytes: int, max_gas: int) -> bytes:
    """The hash of the consensus parameters that a header covers."""
    hashed = params_pb2.HashedParams(block_max_bytes=max_bytes, block_max_gas=max_gas)
    return hashlib.sha256(_bytes(hashed)).digest()


def commit_hash(commit: Commit) -> bytes:
    """The hash of the signatures on the previous block."""
    return merkle_root([_bytes(_signature_message(each)) for each in commit.signatures])


def block_id_of(header: Header, txs: Iterable[bytes], last_commit: Commit) -> BlockId:
    """The id of a block: hash of its header, number and hash of its parts."""
    block = block_pb2.Block(
        header=header_message(header),
        data=types_pb2.Data(txs=list(txs)),
        last_commit=commit_message(last_commit),
    )
    block.evidence.SetInParent()
    encoded = _bytes(block)
    parts = [encoded[start : start + PART_BYTES] for start in range(0, len(encoded), PART_BYTES)]
    return BlockId(header_hash(header), len(parts), merkle_root(parts))


def commit_sign_bytes(chain_id: str, height: int, block_id: BlockId, time_ns: int) -> bytes:
    """What a validator's signature on a block covers."""
    # A canonical vote: type, fixed height, (round 0 left out,) block id, time, chain id.
    parts = (
        bytes((0x08, PRECOMMIT, 0x11)) + height.to_bytes(8, "little"),
        _field(0x22, _bytes(block_id_message(block_id))),
        _field(0x2A, _bytes(timestamp(time_ns))),
        _field(0x32, chain_id.encode()),
    )
    encoded = b"".join(parts)
    return write_varint(len(encoded)) + encoded


def timestamp(time_ns: int) -> Timestamp:
    """A time as a protobuf message."""
    seconds, nanos = divmod(time_ns, NANOSECONDS)
    return Timestamp(seconds=seconds, nanos=nanos)


def block_id_message(block_id: BlockId) -> types_pb2.BlockID:
    """A block id as a protobuf message; the part set header is always there."""
    message = types_pb2.BlockID(hash=block_id.hash)
    message.part_set_header.SetInParent()
    message.part_set_header.total = block_id.parts_total
    message.part_set_header.hash = block_id.parts_hash
    return message


def header_message(header: Header) -> types_pb2.Header:
    """A header as a protobuf message."""
    return types_pb2.Header(
        version=Consensus(block=header.version_block, app=header.version_app),
        chain_id=header.chain_id,
        height=header.height,
        time=timestamp(header.time_ns),
        last_block_id=block_id_message(header.last_block_id),
        last_commit_hash=header.last_commit_hash,
        data_hash=header.data_hash,
        validators_hash=header.validators_hash,
        next_validators_hash=header.next_validators_hash,
        consensus_hash=header.consensus_hash,
        app_hash=header.app_hash,
        last_results_hash=header.last_results_hash,
        evidence_hash=header.evidence_hash,
        proposer_address=header.proposer_address,
    )


def commit_message(commit: Commit) -> types_pb2.Commit:
    """A commit as a protobuf message."""
    return types_pb2.Commit(
        height=commit.height,
        round=commit.round,
        block_id=block_id_message(commit.block_id),
        signatures=[_signature_message(each) for each in commit.signatures],
    )


def _signature_message(signature: CommitSignature) -> types_pb2.CommitSig:
    return types_pb2.CommitSig(
        block_id_flag=signature.block_id_flag,
        validator_address=signature.validator_address,
        timestamp=timestamp(signature.timestamp_ns),
        signature=signature.signature,
    )


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + write_varint(len(value)) + value
