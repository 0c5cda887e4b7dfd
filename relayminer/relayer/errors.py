"""Why a relay is not served."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class RelayerError(RelayMinerError):
    """Root of the errors of this package."""


class RelayerConfigurationError(RelayerError):
    """The settings of the relayer cannot be used; the text says which and why."""


class RefusedError(RelayerError):
    """The client gets an error instead of a relay response. The text is the message.

    Attributes:
        status: HTTP status.
        reason: label of `relays_rejected_total`.
        more: further fields of the JSON answer.
    """

    def __init__(
        self, status: int, message: str, reason: str, more: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.more = more


class InvalidRelayError(RefusedError):
    """The relay breaks a rule of the protocol (relayer.md 8.2)."""

    def __init__(self, text: str) -> None:
        super().__init__(403, f"relay validation failed: {text}", "validation_failed")


class UnavailableError(RefusedError):
    """We could not find out what we must know; the same relay may be served a moment later."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(503, message, reason)


def no_backend(service: str) -> RefusedError:
    """No healthy endpoint for the service: the answer that gateways fail over on."""
    return RefusedError(
        503, "service temporarily unavailable", "no_healthy_backend", {"service": service}
    )
