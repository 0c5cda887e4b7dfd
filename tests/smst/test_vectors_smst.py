"""Everything that the Go library recorded about sum tries and closest proofs."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from relayminer.smst import (
    EMPTY_ROOT,
    ClosestProof,
    CompactClosestProof,
    InvalidProofError,
    SmstError,
    Trie,
    decode_proof,
    encode_proof,
    hash_path,
    root_count,
    root_sum,
    verify_closest_proof,
    verify_proof_bytes,
)
from tests.vector_data import load

pytestmark = pytest.mark.vectors

Store = dict[bytes, bytes]


def raw(text: str | None) -> bytes | None:
    """Bytes of a vector's hex, absent as None."""
    return None if text is None else bytes.fromhex(text)


def identity(key: bytes) -> bytes:
    """The path hasher that gives a test its trie's shape."""
    return key


def new_trie(case: dict[str, Any], root: bytes = EMPTY_ROOT, store: Store | None = None) -> Trie:
    """A trie with the case's path hasher."""
    hasher = identity if case["path_hasher"] == "identity" else hash_path
    return Trie(root, None if store is None else store.get, hasher)


def apply(trie: Trie, operation: dict[str, str]) -> None:
    """One recorded update."""
    trie.update(
        bytes.fromhex(operation["key"]),
        bytes.fromhex(operation["value"]),
        int(operation["weight"]),
    )


def persist(trie: Trie, store: Store) -> list[dict[str, str]]:
    """Commit into `store`; returns the log in the vectors' form."""
    log = []
    for operation, digest, preimage in trie.commit().changes:
        if preimage is not None:
            store[digest] = preimage
            log.append({"op": operation, "key": digest.hex(), "value": preimage.hex()})
        else:
            store.pop(digest, None)
            log.append({"op": operation, "key": digest.hex()})
    return log


def test_roots() -> None:
    """Every recorded root follows from the recorded updates, imports on the way included."""
    for case in load("smst_roots.json")["cases"]:
        store: Store = {}
        trie = new_trie(case, store=store)
        done = 0
        for step in case["steps"]:
            for operation in case["ops"][done : step["after_ops"]]:
                apply(trie, operation)
            done = step["after_ops"]
            assert trie.root.hex() == step["root"], case["label"]
            assert root_sum(trie.root) == int(step["sum"])
            assert root_count(trie.root) == int(step["count"])
            if "then" in step:
                persist(trie, store)
                assert len(store) == step["store_size"]
                trie = new_trie(case, trie.root, store)


@pytest.mark.parametrize("reimport", [False, True], ids=["in memory", "imported before each op"])
def test_nodes(reimport: bool) -> None:
    """Commit logs and stores equal the library's, byte for byte and in order."""
    for case in load("smst_nodes.json")["cases"]:
        store: Store = {}
        trie = new_trie(case, store=store)
        done = 0
        for step in case["steps"]:
            if reimport:
                trie = new_trie(case, trie.root, store)
            for operation in case["ops"][done : step["after_ops"]]:
                apply(trie, operation)
            done = step["after_ops"]
            log = persist(trie, store)
            expected = [
                {
                    name: text
                    for name, text in entry.items()
                    if entry["op"] == "set" or name != "value"
                }
                for entry in step["commit_log"]
            ]
            assert log == expected, case["label"]
            assert {key.hex(): value.hex() for key, value in store.items()} == step["store"]
            assert trie.root.hex() == step["root"]


def full_form(proof: ClosestProof) -> dict[str, Any]:
    """A proof as the vectors write it."""
    inner = proof.closest_proof
    value_hash = proof.closest_value_hash
    return {
        "path": proof.path.hex(),
        "flipped_bits": list(proof.flipped_bits),
        "depth": proof.depth,
        "closest_path": proof.closest_path.hex(),
        "closest_value_hash": None if value_hash is None else value_hash.hex(),
        "side_nodes": [node.hex() for node in inner.side_nodes],
        "sibling_data": None if inner.sibling_data is None else inner.sibling_data.hex(),
    }


def compact_form(proof: CompactClosestProof) -> dict[str, Any]:
    """A compact proof as the vectors write it."""
    inner = proof.closest_proof
    assert inner is not None
    value_hash = proof.closest_value_hash
    return {
        "path": proof.path.hex(),
        "flipped_bits": [index.hex() for index in proof.flipped_bits],
        "depth": proof.depth.hex(),
        "closest_path": proof.closest_path.hex(),
        "closest_value_hash": None if value_hash is None else value_hash.hex(),
        "closest_proof": {
            "side_nodes": [node.hex() for node in inner.side_nodes],
            "bit_mask": inner.bit_mask.hex(),
            "num_side_nodes": inner.num_side_nodes,
            "sibling_data": None if inner.sibling_data is None else inner.sibling_data.hex(),
        },
    }


def check_recorded_proof(trie: Trie, recorded: dict[str, Any]) -> CompactClosestProof:
    """The trie's proof has the recorded forms and bytes; returns its compact form."""
    proof = trie.prove_closest(bytes.fromhex(recorded["path"]))
    assert full_form(proof) == recorded["proof"]
    compact = proof.compact()
    if "compact" in recorded:
        assert compact_form(compact) == recorded["compact"]
    assert encode_proof(compact).hex() == recorded["marshaled"]
    return compact


def test_closest_proofs() -> None:
    """Proofs of imported tries have the recorded bytes, read back, and get the recorded verdict."""
    for case in load("smst_closest_proofs.json")["cases"]:
        store: Store = {}
        fresh, kept = new_trie(case), new_trie(case, store=store)
        for operation in case["ops"]:
            apply(fresh, operation)
            apply(kept, operation)
        persist(kept, store)
        root = bytes.fromhex(case["root"])
        assert fresh.root == kept.root == root
        imported = new_trie(case, root, store)
        preloaded = new_trie(case, root, store)
        assert not preloaded.preload(store.items()).missing
        for recorded in case["proofs"]:
            if "prove_error" in recorded or "prove_panic" in recorded:
                with pytest.raises(SmstError):
                    imported.prove_closest(bytes.fromhex(recorded["path"])).compact()
                if "in_memory" in recorded:
                    check_recorded_proof(fresh, recorded["in_memory"])
                continue
            for trie in (imported, preloaded, kept, fresh):
                compact = check_recorded_proof(trie, recorded)
            assert decode_proof(bytes.fromhex(recorded["marshaled"])) == compact
            assert compact.decompact() == imported.prove_closest(compact.path)
            assert verify_closest_proof(compact, root) is recorded["accept"]
            assert verify_closest_proof(compact.decompact(), root) is recorded["accept"]
            assert raw(recorded["leaf_value"]) == compact.decompact().leaf_value


def test_altered_proofs() -> None:
    """Every altered proof gets the chain's verdict, at the stage where the chain gives it."""
    for case in load("smst_proof_negative.json")["cases"]:
        data, root = bytes.fromhex(case["proof"]), bytes.fromhex(case["root"])
        assert verify_proof_bytes(data, root) is case["accept"], case["label"]
        stage = case["outcome"].partition("_")[0]
        if stage == "decode":
            with pytest.raises(InvalidProofError):
                decode_proof(data)
        elif stage == "decompact":
            with pytest.raises(InvalidProofError):
                decode_proof(data).decompact()
        else:
            decode_proof(data).decompact()


def test_claim_proof_pipeline() -> None:
    """The relays of a session give the claimed root, and its proof the recorded bytes."""
    for case in load("claim_proof_pipeline.json")["cases"]:
        trie = Trie(keep_values=True)
        for relay in case["relays"]:
            data = bytes.fromhex(relay["relay_bytes"])
            assert sha256(data).hexdigest() == relay["relay_hash"]
            if relay["applicable"]:
                trie.update(
                    bytes.fromhex(relay["relay_hash"]), data, case["compute_units_per_relay"]
                )
        trie.commit()
        assert trie.root.hex() == case["claim_root"]
        proof = trie.prove_closest(bytes.fromhex(case["proof_path"]))
        proof_bytes = encode_proof(proof.compact())
        assert proof_bytes.hex() == case["proof"]
        assert sha256(proof.leaf_value or b"").hexdigest() == case["proven_relay_hash"]
        for check in case["verifications"]:
            holds = verify_proof_bytes(proof_bytes, bytes.fromhex(check["root"]))
            right_path = decode_proof(proof_bytes).path.hex() == check["expected_path"]
            assert (holds and right_path) is check["accept"], check["label"]
