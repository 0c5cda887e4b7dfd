"""What bytes from elsewhere can be guilty of: the protocol's branch of the error tree."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class ProtocolError(RelayMinerError):
    """Root of the errors of `relayminer.protocol`."""


class DecodeError(ProtocolError):
    """Bytes that are no message of the expected type."""


class EncodeError(ProtocolError):
    """Values that no message can carry, such as text that is not UTF-8."""


class InvalidAddressError(ProtocolError):
    """Text that is no bech32 address of the expected prefix."""


class InvalidKeyError(ProtocolError):
    """A secret that is no secp256k1 key. Never says which."""


class InvalidPointError(ProtocolError):
    """33 bytes that are no compressed point of secp256k1."""


class InvalidRelayError(ProtocolError):
    """A relay request or response that breaks a basic rule.

    Attributes:
        code: the chain's error code in codespace `service`: 1110 response, 1111 request.
    """

    codespace = "service"

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class RingError(ProtocolError):
    """A ring signature that must be refused.

    Attributes:
        code: 1 a member's key is not secp256k1, 2 invalid relay request (or no ring can be
            built), 3 invalid signature. Codespace `rings` on chain.
    """

    codespace = "rings"

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class AmountError(ProtocolError):
    """Amounts outside what the chain can represent; the chain refuses or discards such a claim."""
