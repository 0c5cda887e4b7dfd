"""Key names against the Go implementation's golden data."""

from __future__ import annotations

import re

import attrs
import pytest

from relayminer.config.settings import NamespaceSettings
from relayminer.state.names import KeyNames
from tests.vector_data import load

pytestmark = pytest.mark.vectors


def attribute_name(method: str) -> str:
    """Our name for a method of the Go key builder."""
    method = method.replace("SMST", "Smst")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()


def test_names_equal_the_golden_ones() -> None:
    """Every name in every recorded namespace must be the same, byte for byte."""
    compared = 0
    for case in load("redis_keys.json")["cases"]:
        names = KeyNames(NamespaceSettings(**case["namespace"]))
        for key in case["keys"]:
            built = getattr(names, attribute_name(key["method"]))
            if callable(built):
                built = built(*key["args"])
            assert built == key["result"], key
            compared += 1
    assert compared == 174


def test_our_own_names_stay_out_of_the_golden_patterns() -> None:
    """No key that only we know may match a pattern by which the Go tools scan."""
    names = KeyNames()
    ours = [
        names.supplier_fence_key("s"),
        names.fence_key(names.global_leader_key),
        names.ledger_key("s"),
        names.ledger_ids_key("s"),
        names.last_block_key,
        names.dead_letter_key("s"),
        names.relay_replay_key("s", "a"),
    ]
    prefixes = [
        names.smst_nodes_prefix,
        names.supplier_state_key(""),
        names.suppliers_registry_key(""),
        names.stream_key(""),
        names.miner_claim_key(""),
        names.tx_track_pattern("").removesuffix(":*"),
        f"{names.cache_prefix}:",
    ]
    assert not [(key, prefix) for key in ours for prefix in prefixes if key.startswith(prefix)]


def test_a_namespace_is_a_value() -> None:
    """Names of another namespace share nothing with the default ones."""
    names = KeyNames(attrs.evolve(NamespaceSettings(), base_prefix="other"))
    assert names.stream_key("a") == "other:relays:a"
