"""Closest proofs printed in the protocol notes, so that a plain clone proves them too."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import attrs
import pytest

from relayminer.smst import (
    EMPTY_ROOT,
    CompactClosestProof,
    CompactMerkleProof,
    InvalidArgumentError,
    InvalidProofError,
    ProofDecodeError,
    Trie,
    decode_proof,
    encode_proof,
    verify_closest_proof,
    verify_proof_bytes,
)
from relayminer.smst.wire import DEFINITIONS
from tests.smst.test_printed_roots import (
    S2,
    S6,
    S7,
    S8,
    S11,
    S17,
    S20,
    Leaf,
    Store,
    Z,
    first,
    hashed,
    identity,
    only,
    shaped,
    written,
)

TEST_KEY_2 = sha256(b"testKey2").digest()


def flipped(path: bytes, *indexes: int) -> bytes:
    """`path` with the given bits turned over."""
    number = int.from_bytes(path, "big")
    for index in indexes:
        number ^= 1 << (255 - index)
    return number.to_bytes(32, "big")


Q = flipped(TEST_KEY_2, 3, 6)


def test_definitions() -> None:
    """The constant part of the stream has the printed hash."""
    assert len(DEFINITIONS) == 286
    assert sha256(DEFINITIONS).hexdigest() == (
        "abc030532ee74acf6039c22b4c8e679ce7082adc4bb8ec0792f0796737c46925"
    )


def test_worked_example() -> None:
    """The stream of a single leaf's proof, byte for byte as the notes walk through it."""
    data = encode_proof(hashed(S2).prove_closest(Q).compact())
    assert data[286:].hex() == (
        "61ff80"
        f"0120{Q.hex()}"
        "020100"
        f"0120{sha256(b'foo').hexdigest()}"
        "01136261720000000000000005000000000000000101"
        "0000"
    )


@pytest.mark.parametrize(
    ("trie", "path", "flips", "depth", "size", "digest"),
    [
        pytest.param(
            hashed([]),
            Q,
            [0],
            0,
            383,
            "6613d85f90159b69623c617398ed2d3b8b18aec1f85d0f25df9240847533ce5d",
            id="P-1",
        ),
        pytest.param(
            hashed(S2),
            Q,
            [],
            0,
            384,
            "4a3b0c5bc6da38c9f32f76fe138ccb4c2711d5ce1a63084cc604900749c575fc",
            id="P-2",
        ),
        pytest.param(
            hashed(S17),
            TEST_KEY_2,
            [],
            8,
            657,
            "295791dfe717eb9f69ba1baa9e4eb8974b5182e0de460d3d321c7a7774cee210",
            id="P-3",
        ),
        pytest.param(
            hashed(S17),
            Q,
            [3, 6],
            8,
            663,
            "b217cff7b147a5e987c554336223f8e3606d5c42f1c6bd1c46412bcd73257bd1",
            id="P-4",
        ),
        pytest.param(
            hashed(S17),
            flipped(TEST_KEY_2, 3, 7),
            [3],
            8,
            661,
            "7e6401e8991d83a04522888ca49f8b8ddb9d00e48532c9ff85b0d29cb776cd54",
            id="P-5",
        ),
        pytest.param(
            shaped(S8),
            first(0xFF),
            [],
            1,
            540,
            "b5896f8678c29b8213e67a543c008b8584e46a218c743980e4d392aaa1863e6d",
            id="P-6",
        ),
        pytest.param(
            shaped([S8[1], S8[0], S8[2]]),
            first(0xFF),
            [],
            1,
            540,
            "b696577b8f9217341e34b52639dee59042c9b75734bba135a2aa63bb5babb327",
            id="P-7",
        ),
        pytest.param(
            shaped(S11),
            first(0xFF),
            [],
            1,
            555,
            "19ecfd9673cd1f0b5d16b4fab535f8503db51e8acb228ec3c792b50b584d2d3a",
            id="P-8",
        ),
        pytest.param(
            shaped(S6),
            only(100),
            [],
            101,
            504,
            "e0f2f962d803e2b2dae8ab0c904b56810c39039f394ea81bf5c5b7f0972a0b36",
            id="P-9",
        ),
        pytest.param(
            shaped([(Z, b"\x01", 1), (only(254), b"\x02", 2)]),
            bytes(25) + b"\xff" * 7,
            list(range(200, 254)),
            255,
            635,
            "937646c5fab7ac450edbab6c5500678e89db127dd9ae89e38666247b41d506f1",
            id="P-10",
        ),
        pytest.param(
            shaped(S7),
            Z,
            [],
            0,
            524,
            "2739bd8fb69cfd3b04179385a88afd282b3c2d744c19205cddf34d79c652eaec",
            id="P-11",
        ),
        pytest.param(
            hashed(S20),
            sha256(b"proofpath").digest(),
            [8],
            12,
            954,
            "839a1662ef00fe093c0e728b8d286798213f3d90d64b32b62287ac5d647a3fb8",
            id="P-12",
        ),
    ],
)
def test_proofs(
    trie: Trie, path: bytes, flips: list[int], depth: int, size: int, digest: str
) -> None:
    """The proof has the printed shape, size and hash, and verifies."""
    proof = trie.prove_closest(path)
    assert list(proof.flipped_bits) == flips
    assert proof.depth == depth
    data = encode_proof(proof.compact())
    assert len(data) == size
    assert sha256(data).hexdigest() == digest
    assert verify_proof_bytes(data, trie.root)
    assert decode_proof(data).decompact() == proof


def test_leaf_at_depth_256() -> None:
    """P-11: no proof of such a leaf compacts once a bit was flipped; after import there is none."""
    trie = shaped(S7)
    with pytest.raises(InvalidProofError):
        trie.prove_closest(only(200)).compact()
    store: Store = {}
    written(trie, store)
    with pytest.raises(InvalidProofError):
        Trie(trie.root, store.get, identity).prove_closest(Z)


def test_leaf_without_value_and_weight() -> None:
    """P-13: it is proven, and the proof does not verify."""
    leaves: list[Leaf] = [(Z, b"", 0), (only(100), b"\x02", 2)]
    trie = shaped(leaves)
    assert not verify_closest_proof(trie.prove_closest(Z), trie.root)
    assert verify_closest_proof(trie.prove_closest(only(100)), trie.root)


def test_fork_with_one_child() -> None:
    """P-14: what a deletion leaves behind is proven in memory, and not after an import."""
    trie = shaped([(Z, b"\x01", 1), (first(0x80), b"\x02", 2), (first(0xC0), b"\x03", 3)])
    trie.delete(Z)
    proof = trie.prove_closest(Z)
    assert (proof.flipped_bits, proof.depth) == ((0,), 2)
    assert verify_closest_proof(proof, trie.root)
    store: Store = {}
    written(trie, store)
    imported = Trie(trie.root, store.get, identity).prove_closest(Z)
    assert imported.closest_value_hash is None
    assert not verify_closest_proof(imported, trie.root)


def altered(**changes: Any) -> CompactClosestProof:
    """P-4 with some fields replaced."""
    compact = hashed(S17).prove_closest(Q).compact()
    return attrs.evolve(compact, **changes)


def altered_inner(**changes: Any) -> CompactClosestProof:
    """P-4 with some fields of its merkle proof replaced."""
    inner = altered().closest_proof
    assert inner is not None
    return altered(closest_proof=attrs.evolve(inner, **changes))


def with_other_type_ids(data: bytes) -> bytes:
    """The stream with type ids 65 to 67."""
    # -64 takes one byte, -65 two: the first message grows by one.
    first_message = data[:286].replace(b"\xff\x87\x7f", b"\xff\x88\xff\x7f", 1)
    definitions = re.sub(rb"\xff([\x7f-\x84])", lambda m: bytes((255, m[1][0] + 2)), first_message)
    return definitions + data[286:].replace(b"\xff\x80", b"\xff\x82", 1)


ROOT = hashed(S17).root
MERKLE = altered().closest_proof or CompactMerkleProof()
DATA = encode_proof(altered())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_other_type_ids(DATA), id="other type ids"),
        pytest.param(DATA + b"more", id="trailing bytes"),
        pytest.param(encode_proof(altered_inner(sibling_data=None)), id="no sibling data"),
        pytest.param(encode_proof(altered(depth=b"\x00\x08")), id="depth with a leading zero"),
    ],
)
def test_tolerated(data: bytes) -> None:
    """P-15: what the chain accepts though we never write it."""
    assert verify_proof_bytes(data, ROOT)


@pytest.mark.parametrize(
    "proof",
    [
        pytest.param(altered(depth=b"\x00\x00\x08"), id="depth of 3 bytes"),
        pytest.param(altered(depth=b""), id="depth absent"),
        pytest.param(altered(flipped_bits=()), id="flips removed"),
        pytest.param(altered_inner(num_side_nodes=7), id="one side node less"),
        pytest.param(altered_inner(num_side_nodes=9), id="one side node more"),
        pytest.param(altered_inner(num_side_nodes=300), id="300 side nodes"),
        pytest.param(altered_inner(num_side_nodes=-1), id="-1 side nodes"),
        pytest.param(altered_inner(bit_mask=MERKLE.bit_mask + b"\x00"), id="longer mask"),
        pytest.param(altered(path=Q[:31]), id="path of 31 bytes"),
        pytest.param(
            altered_inner(side_nodes=tuple(node[:47] for node in MERKLE.side_nodes)),
            id="side nodes of 47 bytes",
        ),
        pytest.param(altered_inner(sibling_data=b"\x00" * 60), id="wrong sibling data"),
        pytest.param(
            altered(closest_value_hash=b"testValue2" + bytes(7) + b"\x18" + bytes(7) + b"\x02"),
            id="count 2",
        ),
        pytest.param(altered(closest_value_hash=b"abc"), id="value of 3 bytes"),
        pytest.param(altered(closest_path=TEST_KEY_2[:31]), id="closest path of 31 bytes"),
        pytest.param(altered(closest_proof=None), id="closest proof omitted"),
        pytest.param(
            altered_inner(
                side_nodes=(*MERKLE.side_nodes[:-1], bytes(47) + b"\x01"), sibling_data=None
            ),
            id="side node tampered with",
        ),
    ],
)
def test_refused(proof: CompactClosestProof) -> None:
    """P-16, P-18, P-19: invalid as a value and as bytes, without an exception."""
    assert not verify_closest_proof(proof, ROOT)
    assert not verify_proof_bytes(encode_proof(proof), ROOT)


@pytest.mark.parametrize("data", [DATA[:-1], b"", DATA[286:]], ids=["cut", "empty", "no prefix"])
def test_undecodable(data: bytes) -> None:
    """P-17: what is no gob stream of a proof is a decode error."""
    with pytest.raises(ProofDecodeError):
        decode_proof(data)


def test_other_roots() -> None:
    """P-19: no other root accepts the proof."""
    assert verify_closest_proof(altered(), ROOT)
    assert not verify_closest_proof(altered(), EMPTY_ROOT)
    assert not verify_closest_proof(altered(), ROOT[:47])
    assert not verify_closest_proof(altered(), ROOT + b"\x00")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_path_length(length: int) -> None:
    """P-20: only paths of 32 bytes are proven."""
    with pytest.raises(InvalidArgumentError):
        hashed(S17).prove_closest(bytes(length))


def test_every_leaf() -> None:
    """P-21: every leaf of a thousand is proven at its own path."""
    trie = hashed(S20)
    for key, value, weight in S20:
        path = sha256(key).digest()
        proof = trie.prove_closest(path)
        assert proof.closest_path == path
        assert proof.flipped_bits == ()
        assert proof.closest_value_hash == value + weight.to_bytes(8, "big") + bytes(7) + b"\x01"
        assert verify_closest_proof(proof, trie.root)
