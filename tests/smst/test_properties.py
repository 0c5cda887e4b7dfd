"""What holds for every trie and every proof, looked for with random examples."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayminer.smst import (
    ClosestProof,
    CompactClosestProof,
    InvalidProofError,
    KeyNotFoundError,
    MerkleProof,
    ProofDecodeError,
    Trie,
    decode_proof,
    encode_proof,
    verify_closest_proof,
    verify_proof_bytes,
)
from tests.smst.model import Leaves, reachable, root_of

Store = dict[bytes, bytes]

# Paths that share prefixes of every length, so that all shapes come up: few leading bits, a tail.
PATHS = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda index, low: ((1 << (255 - index)) | low).to_bytes(32, "big"),
        st.integers(0, 254),
        st.sampled_from([0, 2, 4]),
    ),
)
VALUES = st.binary(max_size=60)
WEIGHTS = st.one_of(st.integers(0, 1000), st.integers(2**64 - 3, 2**64 - 1))
LEAVES = st.dictionaries(PATHS, st.tuples(VALUES, WEIGHTS), max_size=24)


# A shared machine may stall any example; a time limit would only make tests flicker.
PATIENT = settings(deadline=None, max_examples=200)


def identity(key: bytes) -> bytes:
    """The key is the path."""
    return key


def build(leaves: Leaves, store: Store | None = None) -> Trie:
    """A trie of leaves given by path, in the order of the dictionary."""
    trie = Trie(load=None if store is None else store.get, path_hasher=identity)
    for path, (value, weight) in leaves.items():
        trie.update(path, value, weight)
    return trie


def persist(trie: Trie, store: Store) -> None:
    """Do to the store what a commit says."""
    for _, digest, preimage in trie.commit().changes:
        if preimage is None:
            store.pop(digest)  # a node that was never stored must not be deleted
        else:
            store[digest] = preimage


@given(LEAVES, st.randoms(use_true_random=False))
@PATIENT
def test_order_does_not_matter(leaves: Leaves, random: Any) -> None:
    """The root is the model's, whatever the order of insertion and of takings of the root."""
    expected = root_of(leaves)
    assert build(leaves).root == expected
    order = list(leaves)
    random.shuffle(order)
    trie = Trie(path_hasher=identity)
    for path in order:
        trie.update(path, *leaves[path])
        if random.random() < 0.3:
            assert trie.root
    assert trie.root == expected
    assert trie.count == len(leaves)
    assert trie.sum == sum(weight for _, weight in leaves.values()) % 2**64


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["update", "update", "update", "delete", "commit", "import", "preload"]),
        st.integers(0, 9),
        VALUES,
        WEIGHTS,
    ),
    max_size=60,
)


@given(st.lists(PATHS, min_size=10, max_size=10, unique=True), OPERATIONS, st.booleans())
@PATIENT
def test_any_history(
    paths: list[bytes], operations: list[tuple[str, int, bytes, int]], deletes: bool
) -> None:
    """After any history the root is the model's and the store holds exactly the live nodes."""
    store: Store = {}
    trie, leaves = build({}, store), dict[bytes, tuple[bytes, int]]()
    for name, number, value, weight in operations:
        path = paths[number]
        if name == "update":
            trie.update(path, value, weight)
            leaves[path] = (value, weight)
        elif name == "delete":
            if not deletes:
                continue
            if path in leaves:
                trie.delete(path)
                del leaves[path]
            else:
                with pytest.raises(KeyNotFoundError):
                    trie.delete(path)
        else:
            persist(trie, store)
            assert set(store) == reachable(store, trie.root)
            if name != "commit":
                trie = Trie(trie.root, store.get, identity)
            if name == "preload":
                report = trie.preload(store.items())
                assert report.linked == len(store)
                assert [report.missing, report.unreachable, report.corrupt] == [[], [], []]
        assert trie.root == root_of(leaves)
        assert (path in trie) is (path in leaves)
    persist(trie, store)
    assert set(store) == reachable(store, trie.root)
    for path in paths:
        assert trie.get(path) == leaves.get(path, (b"", 0))


def provable(proof: ClosestProof) -> bool:
    """Whether the proven leaf can be told from an absent one."""
    return proof.closest_value_hash is None or proof.closest_value_hash[:-8] != bytes(8)


@given(LEAVES, PATHS)
@PATIENT
def test_every_path_has_a_proof(leaves: Leaves, path: bytes) -> None:
    """In memory, stored, imported and preloaded tries give one proof, which verifies."""
    store: Store = {}
    trie = build(leaves, store)
    proof = trie.prove_closest(path)
    persist(trie, store)
    imported = Trie(trie.root, store.get, identity)
    preloaded = Trie(trie.root, store.get, identity)
    preloaded.preload(store.items())
    for other in (trie, imported, preloaded, imported):
        assert other.prove_closest(path) == proof
    assert verify_closest_proof(proof, trie.root) is provable(proof)
    data = encode_proof(proof.compact())
    assert decode_proof(data).decompact() == proof
    assert verify_proof_bytes(data, trie.root) is provable(proof)
    assert proof.depth == len(proof.closest_proof.side_nodes)
    if leaves:
        assert proof.leaf_value == leaves[proof.closest_path][0]


def meaning(proof: ClosestProof) -> tuple[object, ...]:
    """What a verified proof says, without what the chain tolerates in the saying.

    Bits of both paths beyond the side nodes and the depth, flips that undo each other, depths that
    agree with the paths, the sibling's data and side nodes padded to 48 bytes say nothing more.
    """
    return (
        proof.closest_path[:32],
        proof.closest_value_hash,
        tuple(node[:48].ljust(48, b"\x00") for node in proof.closest_proof.side_nodes),
    )


def changed(data: bytes, at: int, how: int) -> bytes:
    """`data` with one byte changed."""
    at %= len(data)
    return data[:at] + bytes((data[at] ^ (how % 255 + 1),)) + data[at + 1 :]


SOME_LEAVES = st.dictionaries(
    PATHS, st.tuples(st.binary(min_size=1, max_size=60), WEIGHTS), min_size=1, max_size=24
)


@given(SOME_LEAVES, PATHS, st.integers(0, 10**6), st.integers(0, 254))
@PATIENT
def test_altered_bytes(leaves: Leaves, path: bytes, at: int, how: int) -> None:
    """A proof with a changed byte does not verify, or says the same; it never raises anything."""
    trie = build(leaves)
    proof = trie.prove_closest(path)
    data = changed(encode_proof(proof.compact()), at, how)
    if verify_proof_bytes(data, trie.root):
        assert meaning(decode_proof(data).decompact()) == meaning(proof)
    else:
        try:
            decode_proof(data).decompact()
        except InvalidProofError:
            return


@given(SOME_LEAVES, PATHS, st.integers(0, 47), st.integers(0, 254))
@PATIENT
def test_altered_root(leaves: Leaves, path: bytes, at: int, how: int) -> None:
    """A proof does not verify against a root that differs in one byte, sum and count included."""
    trie = build(leaves)
    proof = trie.prove_closest(path)
    assert verify_closest_proof(proof, trie.root)
    assert not verify_closest_proof(proof, changed(trie.root, at, how))


SHORT = st.binary(max_size=70)
PROOFS = st.builds(
    ClosestProof,
    path=st.one_of(st.binary(min_size=32, max_size=32), SHORT),
    flipped_bits=st.lists(st.integers(-2, 300), max_size=4).map(tuple),
    depth=st.integers(-1, 300),
    closest_path=st.one_of(st.binary(min_size=32, max_size=32), SHORT),
    closest_value_hash=st.none() | SHORT,
    closest_proof=st.builds(
        MerkleProof,
        side_nodes=st.lists(SHORT, max_size=300).map(tuple),
        sibling_data=st.none() | SHORT | SHORT.map(lambda data: b"\x02" + data * 2),
        non_membership_leaf_data=st.none() | SHORT,
    ),
)


@given(PROOFS, st.binary(max_size=50))
@PATIENT
def test_arbitrary_proofs(proof: ClosestProof, root: bytes) -> None:
    """Made-up proofs are invalid, without an exception."""
    if root != bytes(48):
        assert not verify_closest_proof(proof, root)


@given(SOME_LEAVES, PATHS, PROOFS, st.data())
@PATIENT
def test_exchanged_fields(
    leaves: Leaves, path: bytes, other: ClosestProof, data: st.DataObject
) -> None:
    """A proof with a field of another does not verify, or says the same."""
    trie = build(leaves)
    proof = trie.prove_closest(path)
    name = data.draw(st.sampled_from([field.name for field in attrs.fields(ClosestProof)]))
    altered = attrs.evolve(proof, **{name: getattr(other, name)})
    if verify_closest_proof(altered, trie.root):
        assert meaning(altered) == meaning(proof)


@given(st.binary(max_size=400))
@PATIENT
def test_arbitrary_bytes(data: bytes) -> None:
    """Bytes that are no proof raise a decode error and nothing else."""
    try:
        proof = decode_proof(data)
    except ProofDecodeError:
        return
    assert isinstance(proof, CompactClosestProof)


@given(st.lists(st.binary(max_size=40), max_size=40, unique=True), st.integers(1, 9))
@PATIENT
def test_hashed_keys(keys: list[bytes], batch: int) -> None:
    """With hashed paths, commits every few updates change nothing about the root."""
    store: Store = {}
    trie, leaves = Trie(load=store.get), dict[bytes, tuple[bytes, int]]()
    for number, key in enumerate(keys):
        trie.update(key, key * 3, number)
        leaves[sha256(key).digest()] = (key * 3, number)
        if number % batch == 0:
            persist(trie, store)
    assert trie.root == root_of(leaves)
