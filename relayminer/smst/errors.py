"""What can go wrong in a trie and in a closest proof."""

from relayminer.errors import RelayMinerError


class SmstError(RelayMinerError):
    """Root of the errors of this package."""


class NodeMissingError(SmstError):
    """A node that the operation needs is neither in memory nor known to `load`.

    The operation changed nothing. Fetch the preimage that is stored under `digest`, hand it to
    `Trie.supply`, and call the operation again.
    """

    def __init__(self, digest: bytes) -> None:
        super().__init__(f"trie node {digest.hex()} is not at hand")
        self.digest = digest


class CorruptNodeError(SmstError):
    """The preimage stored under `digest` is not the node that hashes to it, or is misplaced."""

    def __init__(self, digest: bytes, reason: str) -> None:
        super().__init__(f"trie node {digest.hex()} is corrupt: {reason}")
        self.digest = digest
        self.reason = reason


class KeyNotFoundError(SmstError):
    """There is no leaf under the key that was to be deleted."""


class InvalidArgumentError(SmstError, ValueError):
    """A path, root or weight that no trie can hold."""


class InvalidProofError(SmstError):
    """A proof whose structure breaks a rule, so that no root can make it valid."""


class ProofDecodeError(InvalidProofError):
    """Bytes that are not the gob stream of a compact closest proof."""
