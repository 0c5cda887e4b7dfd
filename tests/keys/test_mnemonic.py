"""Mnemonics that are none are refused, without repeating their words."""

from __future__ import annotations

import pytest

from relayminer.keys.errors import MnemonicError
from relayminer.keys.mnemonic import key_from_mnemonic

WORDS = "abandon " * 11 + "about"


@pytest.mark.parametrize(
    ("mnemonic", "told"),
    [
        ("abandon " * 11, "11 words"),
        (WORDS.replace("about", "zebra"), "checksum"),
        (WORDS.replace("about", "aboot"), "number 12"),
    ],
)
def test_words_that_are_no_mnemonic_are_refused(mnemonic: str, told: str) -> None:
    """Count, spelling and checksum are checked before a wrong key could be derived."""
    with pytest.raises(MnemonicError, match=told) as caught:
        key_from_mnemonic(mnemonic)
    assert "aboot" not in str(caught.value)


@pytest.mark.parametrize("path", ["44'/118'", "m/x", "m/-1", "m/2147483648", "m/44''"])
def test_paths_that_are_none_are_refused(path: str) -> None:
    """A derivation path that cannot be read is an error, not another key."""
    with pytest.raises(MnemonicError, match="derivation path"):
        key_from_mnemonic(WORDS, path)
