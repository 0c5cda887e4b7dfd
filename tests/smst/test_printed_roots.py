"""Roots and stores printed in the protocol notes, so that a plain clone proves them too."""

from __future__ import annotations

from hashlib import sha256

import pytest

from relayminer.smst import EMPTY_ROOT, KeyNotFoundError, Trie

Leaf = tuple[bytes, bytes, int]
Store = dict[bytes, bytes]

Z = bytes(32)


def first(byte: int) -> bytes:
    """A key whose first byte is given and whose others are zero."""
    return bytes((byte,)) + bytes(31)


def only(index: int) -> bytes:
    """A key with one bit set, counted from the left."""
    return (1 << (255 - index)).to_bytes(32, "big")


S2: list[Leaf] = [(b"foo", b"bar", 5)]
S3: list[Leaf] = [(Z, b"\x01", 1)]
S4: list[Leaf] = [*S3, (first(0x80), b"\x02", 2)]
S5: list[Leaf] = [*S3, (first(0x40), b"\x02", 2)]
S6: list[Leaf] = [*S3, (only(100), b"\x02", 2)]
S7: list[Leaf] = [*S3, (only(255), b"\x02", 2)]
S8: list[Leaf] = [*S6, (first(0x80), b"\x03", 3)]
S9: list[Leaf] = [*S6, (only(55), b"\x03", 3)]
S10: list[Leaf] = [*S6, (only(99), b"\x03", 3)]
S11: list[Leaf] = [*S5, (first(0x80), b"\x03", 3)]
S17: list[Leaf] = [
    (b"foo", b"oof", 3),
    (b"bar", b"rab", 6),
    (b"baz", b"zab", 9),
    (b"bin", b"nib", 12),
    (b"fiz", b"zif", 15),
    (b"fob", b"bof", 18),
    (b"testKey", b"testValue", 21),
    (b"testKey2", b"testValue2", 24),
    (b"testKey3", b"testValue3", 27),
    (b"testKey4", b"testValue4", 30),
]
S20: list[Leaf] = [
    (sha256(f"relay-{i}".encode()).digest(), f"value-{i}".encode(), 1 + i % 7) for i in range(1000)
]


def identity(key: bytes) -> bytes:
    """The key is the path."""
    return key


def shaped(leaves: list[Leaf]) -> Trie:
    """A trie whose keys are its paths."""
    return filled(Trie(path_hasher=identity), leaves)


def hashed(leaves: list[Leaf]) -> Trie:
    """A trie as the miner builds it."""
    return filled(Trie(), leaves)


def filled(trie: Trie, leaves: list[Leaf]) -> Trie:
    """`trie` with `leaves` put in, in order."""
    for leaf in leaves:
        trie.update(*leaf)
    return trie


def written(trie: Trie, store: Store) -> list[str]:
    """Commit into a store; returns the log by kind and first 4 bytes of each digest."""
    log = []
    for operation, digest, preimage in trie.commit().changes:
        if preimage is None:
            store.pop(digest, None)
        else:
            store[digest] = preimage
        log.append(f"{operation} {digest[:4].hex()}")
    return log


def root(hash_: str, sum_: int, count: int) -> str:
    """The hex of a root."""
    return hash_ + sum_.to_bytes(8, "big").hex() + count.to_bytes(8, "big").hex()


ROOT_S3 = root("6cf1e6ffc9c8c61257877d320bb1eef7091fb311d931390d70f0e247e22ad863", 1, 1)
ROOT_S6 = root("1a2c804c9789c388f9f2a57126bcd380d30d7157a882dec3b4c95d6c757f63aa", 3, 2)
ROOT_S17 = root("c323f54f4bec21df5377542c6825a03ea5ef6e0873655052735e04e12340689a", 165, 10)
ROOT_S20 = root("9a3f33f0a5c92eec936457e8a48746e74cb948a1a746405cb0f5f48a28a184ff", 3997, 1000)


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        pytest.param(S3, ROOT_S3, id="S-3"),
        pytest.param(
            S4,
            root("225362cf134e4a92ebb34379de0b6fb7ef27dbadea57695e421a9c94c1f89615", 3, 2),
            id="S-4",
        ),
        pytest.param(
            S5,
            root("a8b9bd54d6eb687b47e908bc5f4958b322fcf36af3fb51a44b922ce1f48eb068", 3, 2),
            id="S-5",
        ),
        pytest.param(S6, ROOT_S6, id="S-6"),
        pytest.param(
            S7,
            root("d00de463de332345d5accf8f5f311f13dd8083130eb4e996c502bbb80e816a4f", 3, 2),
            id="S-7",
        ),
        pytest.param(
            S8,
            root("cf350fd591ba28326e8424fb4f948a69fc5e08473cd3fb25431c0239191e85d6", 6, 3),
            id="S-8",
        ),
        pytest.param(
            S9,
            root("c020863d481797497c80968b197537c5fc76a072bae08539f34bdb85f97ad9c3", 6, 3),
            id="S-9",
        ),
        pytest.param(
            S10,
            root("3993033b8dbfa84ab509aba0e35a43c87b1819f69624385948260dcbd1fe518e", 6, 3),
            id="S-10",
        ),
        pytest.param(
            S11,
            root("b90bae7c9c207309ec5d9311d806f70034509dd3eff42c6cca82cba8a00d7660", 6, 3),
            id="S-11",
        ),
        pytest.param(
            [*S6, (Z, b"\x09", 9)],
            root("77d16240d45dc545cf74dd289f12d37a9d3efd0e49bf10575fcaf83b8734561e", 11, 2),
            id="S-12",
        ),
        pytest.param(
            [(Z, b"\x01", 0), (only(100), b"\x02", 0)],
            root("9982a2ca194d4ec6d62f29d093aed8ae09192d08e5ba806cab95a5fd4b7ea6ce", 0, 2),
            id="S-14",
        ),
        pytest.param(
            [(Z, b"\x01", 2**64 - 1), (only(100), b"\x02", 2)],
            root("24019a48ab5b22162d8d84b2483e62c166b6ed07a7d88eb219bf59743bc64c03", 1, 2),
            id="S-15 sum wraps",
        ),
        pytest.param(
            [(Z, b"", 1)],
            root("fb91aeb5d04842ccb7904f79cc4d255de03bab4a67aa6068b6f756123374907a", 1, 1),
            id="S-16",
        ),
    ],
)
def test_shaped_roots(leaves: list[Leaf], expected: str) -> None:
    """Tries of chosen shapes have the printed roots, before and after a commit."""
    trie = shaped(leaves)
    assert trie.root.hex() == expected
    assert trie.commit().root.hex() == expected
    assert trie.root.hex() == expected


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        pytest.param([], "00" * 48, id="S-1"),
        pytest.param(
            S2,
            root("5361f1b603f890312c88f555a313f561f5f9dbb170a716cb0fcfbaa478a9bb06", 5, 1),
            id="S-2",
        ),
        pytest.param(S17, ROOT_S17, id="S-17"),
        pytest.param(S17[::-1], ROOT_S17, id="S-18"),
        pytest.param(
            [(str(i).encode(), str(i).encode(), i) for i in range(100)],
            root("17536bc6c024f72849bdb8bda4250159d869df29c6f06ef9419e9e26933039a1", 4950, 100),
            id="S-19",
        ),
        pytest.param(S20, ROOT_S20, id="S-20"),
        pytest.param(
            [(b"big", (bytes(range(256)) * 5)[:1200], 100)],
            root("d9e646a08fc627723c2c1e131108f878e8d808a4dd8869b797357c70c8e0f0ad", 100, 1),
            id="S-21",
        ),
    ],
)
def test_hashed_roots(leaves: list[Leaf], expected: str) -> None:
    """Tries with hashed paths have the printed roots."""
    assert hashed(leaves).root.hex() == expected


def test_the_same_update_twice() -> None:
    """S-13: a leaf written again unchanged is deleted and set, in that order."""
    trie = shaped(S3)
    trie.commit()
    trie.update(*S3[0])
    commit = trie.commit()
    assert [change[0] for change in commit.changes] == ["delete", "set"]
    assert {change[1].hex() for change in commit.changes} == {ROOT_S3}
    assert commit.removals == []
    assert list(commit.writes) == [commit.root]


def test_deletes() -> None:
    """S-22 to S-24: deleting leads back to the root of what is left."""
    trie = shaped(S4)
    trie.delete(first(0x80))
    assert trie.root.hex() == ROOT_S3
    trie = shaped(S9)
    trie.delete(only(55))
    assert trie.root.hex() == ROOT_S6
    trie = shaped(S3)
    trie.delete(Z)
    assert trie.root == EMPTY_ROOT
    with pytest.raises(KeyNotFoundError):
        trie.delete(Z)


def test_stored_extension() -> None:
    """S-25, S-26: an extension keeps the path of the leaf that made it, outside its digest."""
    child = root("c9be500a3db7ee803df2f620fae0b81fffff9e7d4abb5e8d03efd2882f7027cb", 3, 2)
    stores: list[Store] = []
    for leaves, path in ((S6, only(100)), (S6[::-1], Z)):
        store: Store = {}
        written(shaped(leaves), store)
        assert len(store) == 4
        assert store[bytes.fromhex(ROOT_S6)].hex() == "020064" + path.hex() + child + child[-32:]
        stores.append(store)
    assert set(stores[0]) == set(stores[1])


def test_commit_logs() -> None:
    """S-27: the printed logs of two commits, the second of which splits an inner node."""
    store: Store = {}
    trie = shaped(S11)
    sets = ["6cf1e6ff", "7acda1cc", "dba6b60f", "bd27df84", "b90bae7c"]
    assert written(trie, store) == [f"set {digest}" for digest in sets]
    trie.update(first(0xC0), b"\x04", 4)
    assert written(trie, store) == [
        "delete b90bae7c",
        "set 6115e7e3",
        "set a9d43021",
        "set dc38bf4c",
    ]
    assert trie.root.hex() == root(
        "dc38bf4cdc3b930c128a67f015adf58ee64d1d5b04992d385cd6532a3281feab", 10, 4
    )


def test_import_between_halves() -> None:
    """S-28: a trie imported half-way ends with the same root."""
    store: Store = {}
    trie = hashed(S20[:500])
    written(trie, store)
    assert filled(Trie(trie.root, store.get), S20[500:]).root.hex() == ROOT_S20


def test_get() -> None:
    """S-29: get answers value and weight, or empty and 0, and loads what commit dropped."""
    store: Store = {}
    trie = Trie(load=store.get, path_hasher=identity)
    filled(trie, S6)
    for _ in range(2):
        assert trie.get(Z) == (b"\x01", 1)
        assert trie.get(only(100)) == (b"\x02", 2)
        assert trie.get(only(101)) == (b"", 0)
        assert trie.get(only(50)) == (b"", 0)
        assert Z in trie
        assert only(50) not in trie
        written(trie, store)
    assert Trie().get(b"absent") == (b"", 0)
