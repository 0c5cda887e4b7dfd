"""What can be wrong with key sources. No message ever holds key material."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.errors import RelayMinerError

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyLoadError(RelayMinerError):
    """Keys that cannot be loaded.

    Attributes:
        problems: what is wrong, each with the file, the place in it, and what to do.
        sources: names of the sources that they are of, where that is known.
    """

    def __init__(self, problems: Sequence[str], sources: Sequence[str] = ()) -> None:
        super().__init__("keys cannot be loaded:\n" + "\n".join(f"  - {one}" for one in problems))
        self.problems = tuple(problems)
        self.sources = tuple(sources)


class MnemonicError(RelayMinerError):
    """Words that are no BIP-39 mnemonic, or a derivation path that is none."""
