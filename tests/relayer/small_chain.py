"""The kit's small chain, by the name that these tests know it by."""

from relayminer.testing.small_chain import (
    ENVELOPE,
    SERVICE,
    SmallChain,
    request_body,
    shared_params,
    signed_request,
)

__all__ = [
    "ENVELOPE",
    "SERVICE",
    "SmallChain",
    "request_body",
    "shared_params",
    "signed_request",
]
