"""Errors of the miner."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class MinerError(RelayMinerError):
    """Root of the miner's errors."""


class LeaseLostError(MinerError):
    """This process no longer owns the supplier; nothing of it may be written or sent."""


class TrieUnavailableError(MinerError):
    """A session's trie cannot be read back: nodes are missing or do not hash to their names."""


class RootMismatchError(MinerError):
    """Two roots that must be equal are not: nothing may be claimed or proven from either."""


class ProofNotSoundError(MinerError):
    """A proof that was just built does not verify against the claimed root; it is never sent."""
