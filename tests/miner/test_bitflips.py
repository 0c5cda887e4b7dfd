"""One flipped bit in anything that is stored: detected, or without any consequence."""

from __future__ import annotations

import random
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from relayminer.config.settings import KeySettings
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.loading import load_keys
from relayminer.keys.sources import KeysFile
from relayminer.miner.entries import SessionInfo, sort_entries
from relayminer.miner.errors import ProofNotSoundError, RootMismatchError, TrieUnavailableError
from relayminer.miner.mend import Mender, usable_leaf
from relayminer.miner.prove import build_proof, claimed_root
from relayminer.miner.sessions import Session
from relayminer.protocol.signature import SigningKey
from relayminer.smst import Trie
from relayminer.state.log_reader import LogEntry
from tests.miner.relays import log_entry, relay_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from relayminer.miner.context import SupplierContext

SUPPLIER = "pokt1supplier"
SESSION = "ab" * 32
WEIGHT = 7
FIELDS: dict[str, Any] = {
    "compute_units_per_relay": WEIGHT,
    "session_id": SESSION,
    "session_start_height": 11,
    "session_end_height": 20,
    "supplier_operator_address": SUPPLIER,
    "service_id": "svc",
    "application_address": "pokt1app",
}
RELAYS = 25
FEW, MANY = 300, 1000
SEEDS = [sha256(b"seed %d" % number).digest() for number in range(4)]


def flipped(data: bytes, position: int) -> bytes:
    """The same with the bit at `position` changed."""
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def positions(bits: int, count: int) -> Iterator[int]:
    """So many of so many bits, always the same ones, all of them when there are no more."""
    yield from random.Random(1).sample(range(bits), min(bits, count))  # noqa: S311 - which bits


class Nodes:
    """A store of nodes, and of a sealed root."""

    def __init__(self) -> None:
        trie = Trie()
        for number in range(RELAYS):
            value = relay_bytes(b"%d" % number, **FIELDS)
            trie.update(sha256(value).digest(), value, WEIGHT)
        self.nodes = trie.commit().writes
        self.root = trie.root
        self.stored_root: bytes | None = trie.root

    def loader(self, _session_id: str) -> Any:
        """As `SupplierStore.loader`."""

        async def load(digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
            return {one: self.nodes[one] for one in digests if one in self.nodes}

        return load

    async def sealed_root(self, _session_id: str) -> bytes | None:
        """As `SupplierStore.sealed_root`."""
        return self.stored_root


def context_of(store: Nodes) -> SupplierContext:
    """What a proof needs of a context."""
    return cast("SupplierContext", SimpleNamespace(store=store, address=SUPPLIER))


def session() -> Session:
    """The session of the trie."""
    info = SessionInfo(SESSION, "svc", "pokt1app", 11, 20)
    return Session(info, compute_units_per_relay=WEIGHT)


async def proofs_of(store: Nodes, root: bytes) -> list[bytes]:
    """Proofs for some seeds; an empty one where none can be built."""
    found = []
    for seed in SEEDS:
        try:
            found.append(await build_proof(context_of(store), SESSION, root, seed))
        except (TrieUnavailableError, ProofNotSoundError):
            found.append(b"")
    return found


def is_idle_bit(preimage: bytes, bit: int) -> bool:
    """Whether a bit of a node means nothing: of an extension's path, outside of its span."""
    place = (bit // 8 - 3) * 8 + 7 - bit % 8
    return preimage[:1] == b"\x02" and 0 <= place < 256 and not preimage[1] <= place < preimage[2]


async def test_nodes(*, soak: bool) -> None:
    """A damaged node is found before the claim, and gives no proof or the same one."""
    store = Nodes()
    mender = Mender(SUPPLIER, cast("Any", store), cast("Any", None), cast("Any", None))
    whole = await proofs_of(store, store.root)
    assert all(whole)
    assert await mender.damage(session(), store.root) == ""
    bits = [(digest, bit) for digest, data in store.nodes.items() for bit in range(8 * len(data))]
    assert any(data[:1] == b"\x02" for data in store.nodes.values())
    for index in positions(len(bits), MANY if soak else FEW):
        digest, bit = bits[index]
        preimage = store.nodes[digest]
        store.nodes[digest] = flipped(preimage, bit)
        damage = await mender.damage(session(), store.root)
        proofs = await proofs_of(store, store.root)
        if is_idle_bit(preimage, bit):
            assert all(proofs)
        else:
            assert damage, (digest.hex(), bit)
            assert all(one in {b"", right} for one, right in zip(proofs, whole, strict=True))
        store.nodes[digest] = preimage


def test_leaves_that_are_gathered_for_a_rebuild(*, soak: bool) -> None:
    """No leaf with a flipped bit gets into a rebuilt trie, under whatever name it is stored."""
    store = Nodes()
    leaves = [(digest, data) for digest, data in store.nodes.items() if data[:1] == b"\x00"]
    bits = [(*leaf, bit) for leaf in leaves for bit in range(8 * len(leaf[1]))]
    assert all(usable_leaf(session(), SUPPLIER, *leaf) for leaf in leaves)
    for index in positions(len(bits), MANY if soak else FEW):
        digest, preimage, bit = bits[index]
        assert usable_leaf(session(), SUPPLIER, digest, flipped(preimage, bit)) is None


async def test_roots() -> None:
    """Of a root with any bit flipped there is no trie, no claim, and no proof."""
    store = Nodes()
    mender = Mender(SUPPLIER, cast("Any", store), cast("Any", None), cast("Any", None))
    for bit in range(8 * len(store.root)):
        wrong = flipped(store.root, bit)
        assert await mender.damage(session(), wrong)
        assert not any(await proofs_of(store, wrong))
        # The claim on chain is right; one of the two places that hold its root is not.
        one = session()
        one.claimed_root, store.stored_root = wrong, store.root
        assert await claimed_root(context_of(store), one, store.root) == store.root
        one.claimed_root, store.stored_root = store.root, wrong
        assert await claimed_root(context_of(store), one, store.root) == store.root
        one.claimed_root = wrong
        try:
            await claimed_root(context_of(store), one, store.root)
        except RootMismatchError:
            continue
        raise AssertionError(f"bit {bit}")


def test_log_entries(*, soak: bool) -> None:
    """A damaged entry goes to the dead letters, or what it says of a relay is not damaged."""
    data = log_entry(b"a relay", **FIELDS)
    ((info, (right,)),) = sort_entries([LogEntry(b"1-0", data)], SUPPLIER).sessions.items()
    poison = 0
    for bit in positions(8 * len(data), 8 * len(data) if soak else MANY):
        batch = sort_entries([LogEntry(b"1-0", flipped(data, bit))], SUPPLIER)
        poison += len(batch.poison)
        for found, relays in batch.sessions.items():
            assert found == info
            for relay in relays:
                # Another weight than the service's is refused when it is counted.
                assert (relay.key, relay.value) == (right.key, right.value)
    assert poison > MANY // 2


def test_key_files(tmp_path: Path, *, soak: bool) -> None:
    """No key file with a flipped bit gives a key that is not its address's own."""
    key = SigningKey(sha256(b"a supplier").digest())
    good = f"keys:\n  - {key.export_secret().hex()}\n".encode()
    file = tmp_path / "keys.yaml"
    settings = KeySettings(keys_file=file)

    def load(data: bytes) -> Mapping[str, SigningKey]:
        file.write_bytes(data)
        file.chmod(0o600)
        return load_keys(settings, [KeysFile()])

    assert set(load(good)) == {key.address}
    refused = 0
    for bit in positions(8 * len(good), MANY if soak else FEW):
        try:
            keys = load(flipped(good, bit))
        except KeyLoadError:
            refused += 1
            continue
        for address, found in keys.items():
            same = found.export_secret() == key.export_secret()
            assert same == (address == key.address)
    assert refused
