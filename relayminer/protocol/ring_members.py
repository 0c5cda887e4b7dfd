"""Whose keys a ring signature for an application may be made of.

Source: `poktroll: pkg/crypto/rings/client.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.protocol import curve
from relayminer.protocol.errors import InvalidPointError, RingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relayminer.protocol.pb.application_pb2 import Application

# Stands in for the second member of an application without gateways. Its secret is public
# knowledge: a ring with this member authenticates nobody.
PLACEHOLDER_SEED = b"placeholder_ring_key_for_apps_without_gateways"
PLACEHOLDER_ADDRESS = "6178B12D0711F3A930A6133C39AE3B89E9E79A04"
PLACEHOLDER_PUBLIC_KEY = bytes.fromhex(
    "021066f293709356a33e9c13017867586baf52513e845bc4335233a15ed1e00baf"
)

INVALID_REQUEST = 2


def ring_addresses(application: Application, target_session_end_height: int) -> list[str]:
    """Addresses of the ring's members, in the chain's order (bytewise).

    Gateways whose undelegation was sent in the target session or later still belong to it. One
    that is both delegated and pending appears twice.

    Args:
        application: the application's record as it is now.
        target_session_end_height: end of the session, by the live shared parameters, that holds
            the end height of the relay's session.
    """
    pending = {
        gateway
        for height, undelegated in application.pending_undelegations.items()
        if height >= target_session_end_height
        for gateway in undelegated.gateway_addresses
    }
    gateways = [*application.delegatee_gateway_addresses, *pending]
    return sorted([application.address, *(gateways or [PLACEHOLDER_ADDRESS])])


def expected_ring(addresses: Iterable[str], public_keys: Mapping[str, bytes]) -> tuple[bytes, ...]:
    """The members' keys (33 bytes each) in the order of `addresses`.

    Args:
        addresses: what `ring_addresses` answers.
        public_keys: the accounts' keys on chain; the placeholder's need not be there.

    Raises:
        RingError: code 2: a member has no key on chain, or one that is not secp256k1. Nobody can
            sign relays for such an application until that account has sent a transaction.
    """
    ring: list[bytes] = []
    for address in addresses:
        key = PLACEHOLDER_PUBLIC_KEY if address == PLACEHOLDER_ADDRESS else public_keys.get(address)
        if key is None:
            raise RingError(f"no public key on chain for {address}", INVALID_REQUEST)
        try:
            curve.cached_point(key)
        except InvalidPointError as error:
            raise RingError(f"the key of {address} is not secp256k1", INVALID_REQUEST) from error
        ring.append(key)
    return tuple(ring)
