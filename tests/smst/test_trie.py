"""Nodes that are missing or corrupt, packed leaves, and the contract of a commit."""

from __future__ import annotations

import gc
from hashlib import sha256

import pytest

from relayminer.smst import (
    EMPTY_ROOT,
    CorruptNodeError,
    InvalidArgumentError,
    KeyNotFoundError,
    NodeIndex,
    NodeMissingError,
    Trie,
    encode_proof,
    root_count,
    root_hash,
    root_sum,
    verify_closest_proof,
)

Store = dict[bytes, bytes]


def key(number: int) -> bytes:
    """A key for a test."""
    return sha256(number.to_bytes(4, "big")).digest()


def stored(count: int = 40) -> tuple[bytes, Store]:
    """Root and store of a trie with some leaves."""
    trie = Trie()
    for number in range(count):
        trie.update(key(number), b"value %d" % number, number)
    commit = trie.commit()
    return commit.root, commit.writes


def test_missing_nodes_are_supplied_one_by_one() -> None:
    """An operation names what it misses, changes nothing, and succeeds once it has all."""
    root, store = stored()
    trie = Trie(root)
    expected = Trie(root, store.get)
    expected.update(key(1000), b"new", 7)
    missed = 0
    while True:
        try:
            trie.update(key(1000), b"new", 7)
            break
        except NodeMissingError as error:
            missed += 1
            assert trie.root == root
            assert not trie.commit().changes
            trie.supply(error.digest, store[error.digest])
    assert missed > 1
    assert trie.root == expected.root
    assert trie.commit().changes == expected.commit().changes


@pytest.mark.parametrize("operation", ["get", "delete", "prove"])
def test_missing_nodes_of_other_operations(operation: str) -> None:
    """Reading, deleting and proving retry in the same way and end with the same result."""
    root, store = stored()
    results: list[tuple[object, bytes]] = []
    for trie in (Trie(root), Trie(root, store.get), Trie(root, store.__getitem__)):
        for _ in range(100):
            try:
                if operation == "get":
                    results.append((trie.get(key(3)), trie.root))
                elif operation == "delete":
                    trie.delete(key(3))
                    results.append((trie.commit().changes, trie.root))
                else:
                    results.append((trie.prove_closest(key(3)), trie.root))
                break
            except NodeMissingError as error:
                assert trie.root == root
                trie.supply(error.digest, store[error.digest])
    assert len(results) == 3
    assert results[0] == results[1] == results[2]


def test_missing_node_in_a_store() -> None:
    """A store that lost a node gives NodeMissingError, from `None` and from KeyError alike."""
    root, store = stored()
    del store[root]
    for load in (store.get, store.__getitem__):
        with pytest.raises(NodeMissingError) as caught:
            Trie(root, load).update(key(1), b"", 1)
        assert caught.value.digest == root


@pytest.mark.parametrize("damage", [b"", b"\x07", b"\x02short", b"\x00" * 60])
def test_corrupt_nodes_are_never_used(damage: bytes) -> None:
    """A preimage that does not hash to its key is refused wherever it comes from."""
    root, store = stored()
    good = store[root]
    store[root] = damage or good[:-1] + b"\x00"
    trie = Trie(root, store.get)
    with pytest.raises(CorruptNodeError) as caught:
        trie.update(key(1000), b"", 1)
    assert caught.value.digest == root
    with pytest.raises(CorruptNodeError):
        trie.supply(root, store[root])
    report = trie.preload(store.items())
    assert report.corrupt == [root]
    assert not report.missing
    store[root] = good
    trie.update(key(1000), b"", 1)
    assert root_count(trie.root) == 41


def test_misplaced_extension() -> None:
    """An extension moved to another depth has the same digest, and is refused all the same."""
    low, high = bytes(32), bytes(12) + b"\x08" + bytes(19)
    trie = Trie(path_hasher=lambda path: path)
    trie.update(low, b"1", 1)
    trie.update(high, b"2", 2)
    commit = trie.commit()
    store = commit.writes
    moved = bytearray(store[commit.root])
    assert tuple(moved[:3]) == (2, 0, 100)
    moved[1:3] = bytes((1, 101))
    store[commit.root] = bytes(moved)
    imported = Trie(commit.root, store.get, lambda path: path)
    with pytest.raises(CorruptNodeError):
        imported.get(low)
    report = Trie(commit.root, None, lambda path: path).preload(store.items())
    assert report.corrupt == [commit.root]


def test_preload_names_what_does_not_fit() -> None:
    """Garbage of a crash is named as unreachable, a lost node as missing."""
    root, store = stored()
    trie = Trie(root, store.get)
    trie.update(key(1000), b"late", 1)
    later = trie.commit()
    leaf = next(digest for digest, data in store.items() if data[0] == 0)
    lost = {digest: data for digest, data in store.items() if digest != leaf}
    report = Trie(root).preload([*later.writes.items(), *lost.items()])
    assert set(report.unreachable) == set(later.writes)
    assert report.missing == [leaf]
    assert report.linked == len(lost)


def test_index_page_by_page() -> None:
    """Nodes gathered in several turns link as those of one preload."""
    root, store = stored()
    index = NodeIndex()
    for digest, preimage in reversed(store.items()):
        index.add(digest, preimage)
    trie = Trie(root)
    assert trie.link(index).linked == len(store)
    trie.update(key(1000), b"new", 1)
    assert trie.count == 41


def test_preloaded_trie_needs_values_only() -> None:
    """After a preload an update needs no load, a proof the proven leaf and its sibling at most."""
    root, store = stored()
    asked: list[bytes] = []

    def load(digest: bytes) -> bytes:
        asked.append(digest)
        return store[digest]

    trie = Trie(root, load)
    trie.preload(store.items())
    trie.update(key(1000), b"new", 1)
    trie.update(key(3), b"again", 1)
    assert not asked
    proof = trie.prove_closest(sha256(key(5)).digest())
    assert verify_closest_proof(proof, trie.root)
    assert 1 <= len(asked) <= 2


def test_keep_values() -> None:
    """A trie that keeps values proves after a commit without any store."""
    kept, dropped = Trie(keep_values=True), Trie()
    for trie in (kept, dropped):
        for number in range(10):
            trie.update(key(number), b"value", 1)
        trie.commit()
    proof = kept.prove_closest(key(1))
    assert verify_closest_proof(proof, kept.root)
    assert kept.get(key(2)) == (b"value", 1)
    with pytest.raises(NodeMissingError):
        dropped.prove_closest(key(1))
    with pytest.raises(NodeMissingError):
        dropped.get(key(2))
    assert key(2) in dropped
    assert key(99) not in dropped


def test_root_between_updates_changes_no_commit() -> None:
    """Taking the root does not store anything: the next commit still writes every new node."""
    watched, plain = Trie(), Trie()
    for number in range(20):
        watched.update(key(number), b"value", 1)
        plain.update(key(number), b"value", 1)
        assert watched.root
    assert watched.commit() == plain.commit()
    assert not watched.commit().changes


def test_unwritten_commit_is_discarded() -> None:
    """After a failed write the last durable root still imports, and the updates can be redone."""
    root, store = stored()
    trie = Trie(root, store.get)
    trie.update(key(1000), b"new", 1)
    lost = trie.commit()
    again = Trie(root, store.get)
    again.update(key(1000), b"new", 1)
    assert again.commit() == lost


def test_weights_and_roots_are_checked() -> None:
    """A weight outside uint64 and a root of another length are refused."""
    trie = Trie()
    for weight in (-1, 2**64):
        with pytest.raises(InvalidArgumentError):
            trie.update(b"key", b"", weight)
    assert trie.root == EMPTY_ROOT
    for length in (0, 32, 47, 49):
        with pytest.raises(InvalidArgumentError):
            Trie(bytes(length))
    with pytest.raises(InvalidArgumentError):
        Trie(path_hasher=lambda key: key).get(b"short")
    with pytest.raises(KeyNotFoundError):
        trie.delete(b"key")


def test_root_accessors() -> None:
    """Hash, sum and count are read where the length is a power of two and 16; else refused."""
    root = bytes(range(48))
    assert root_hash(root) == root[:32]
    assert root_sum(root) == int.from_bytes(root[32:40], "big")
    assert root_count(root) == int.from_bytes(root[40:], "big")
    for length in (17, 18, 20, 24, 32, 48, 80):
        assert root_sum(bytes(length)) == 0
    for length in (0, 15, 16, 19, 47, 49):
        with pytest.raises(InvalidArgumentError):
            root_count(bytes(length))


def test_leaf_of_another_branch() -> None:
    """A leaf stored below a fork that its path does not lead to is corruption, not a shape."""
    trie = Trie(path_hasher=lambda path: path)
    trie.update(b"\x80" + bytes(31), b"right", 1)
    right = trie.commit()
    preimage = b"\x01" + right.root + bytes(48) + right.root[32:]
    root = sha256(preimage).digest() + right.root[32:]
    hostile = Trie(root, {root: preimage, **right.writes}.get, lambda path: path)
    with pytest.raises(CorruptNodeError):
        hostile.update(bytes(32), b"left", 1)
    assert hostile.root == root


def test_proof_carries_the_sibling_leaf() -> None:
    """Two leaves side by side: the proof of one has the other's value in it."""
    trie = Trie(path_hasher=lambda path: path)
    trie.update(bytes(32), b"left", 1)
    trie.update(b"\x80" + bytes(31), b"right", 1)
    proof = trie.prove_closest(bytes(32))
    assert proof.leaf_value == b"left"
    assert b"right" in encode_proof(proof.compact())


@pytest.mark.parametrize("way", ["commit", "preload"])
def test_stored_nodes_do_not_burden_the_collector(way: str) -> None:
    """What is stored is of a form that the garbage collector soon stops looking at."""
    root, store = stored(200)
    trie = Trie(root)
    trie.preload(store.items())
    if way == "commit":
        for number in range(200, 300):
            trie.update(key(number), b"more", 1)
        trie.commit()
    # A tuple is let go after what it holds; a pass that meets it first leaves it to the next.
    for _ in range(20):
        gc.collect()
    assert isinstance(trie._root, tuple)
    assert not gc.is_tracked(trie._root)
