"""Linkable ring signatures (bLSAG) over relay requests.

A gateway signs a request for an application with a ring of both keys (and of every other gateway
that the application trusts); whoever checks learns that one of them signed. The rules of what is
accepted are the chain's: what it refuses in a proof must not be served, and the reverse.

Source: `ring-go: ring.go, serde.go`, `poktroll: pkg/crypto/rings/client.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.protocol import curve
from relayminer.protocol.errors import InvalidPointError, InvalidRelayError, RingError
from relayminer.protocol.relay import check_session_header, request_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.protocol.pb.service_pb2 import RelayRequest
    from relayminer.protocol.point_tables import PointTables
    from relayminer.protocol.signature import SigningKey

INVALID_REQUEST = 2
INVALID_SIGNATURE = 3

SIZE_LENGTH = 4
HEADER_LENGTH = SIZE_LENGTH + curve.SCALAR_LENGTH + curve.POINT_LENGTH
MEMBER_LENGTH = curve.SCALAR_LENGTH + curve.POINT_LENGTH
MESSAGE_LENGTH = 32
MIN_SIGNING_MEMBERS = 2
# The reference has no limit but the size of a request: a key repeated a thousand times would keep
# the process busy for a second.
MAX_MEMBERS = 64


@frozen
class RingSignature:
    """A parsed ring signature.

    Attributes:
        challenge: c_0, reduced modulo the group order.
        key_image: 33 bytes.
        responses: s_0 ... s_{n-1}, reduced modulo the group order.
        members: 33-byte public keys in ring order; repetitions are legal.
    """

    challenge: int
    key_image: bytes
    responses: tuple[int, ...]
    members: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The canonical serialization, 69 + 65 n bytes."""
        parts = [
            len(self.members).to_bytes(SIZE_LENGTH),
            self.challenge.to_bytes(curve.SCALAR_LENGTH),
            self.key_image,
        ]
        for response, member in zip(self.responses, self.members, strict=True):
            parts += (response.to_bytes(curve.SCALAR_LENGTH), member)
        return b"".join(parts)


def parse_ring_signature(data: bytes, max_members: int = MAX_MEMBERS) -> RingSignature:
    """Parse a serialized ring signature. Bytes behind the last member are ignored.

    Raises:
        RingError: code 3: truncated, no member or more than `max_members`, or a point that is
            none.
    """
    signature = _split(data, max_members)
    _prepare(signature)
    return signature


def verify_ring_signature(
    digest: bytes, signature: RingSignature, tables: PointTables | None = None
) -> bool:
    """Whether the ring closes over the 32-byte `digest`. One member is enough to verify.

    Args:
        digest: what was signed.
        signature: as parsed.
        tables: multiples of points that come again and again, where the caller keeps them.
    """
    if len(digest) != MESSAGE_LENGTH or not signature.members:
        return False
    try:
        if tables is None:
            return _closes(digest, signature)
        return _closes_by_tables(digest, signature, tables)
    except (RingError, curve.HashToScalarError):
        return False


def sign_ring(
    digest: bytes,
    ring: Sequence[bytes],
    key: SigningKey,
    random_scalar: Callable[[], int] = curve.random_scalar,
) -> bytes:
    """Sign the 32-byte `digest` with a ring of 33-byte public keys, one of which is the key's own.

    Scalars are drawn in this order: the nonce, then one for each other member, starting behind
    the signer.

    Raises:
        RingError: code 3: fewer than two members, no member is the key, or a member is no point.
    """
    size = len(ring)
    if size < MIN_SIGNING_MEMBERS:
        raise RingError("a ring needs at least two members to sign", INVALID_SIGNATURE)
    if len(digest) != MESSAGE_LENGTH:
        raise RingError(f"a digest of {len(digest)} bytes, not 32", INVALID_SIGNATURE)
    if key.public_key not in ring:
        raise RingError("the signing key is not in the ring", INVALID_SIGNATURE)
    signer = list(ring).index(key.public_key)
    try:
        keys = [curve.ring_key(member) for member in ring]
    except InvalidPointError as error:
        raise RingError("a member of the ring is no point", INVALID_SIGNATURE) from error
    encoded_image = key.key_image()
    image = curve.cached_point(encoded_image)
    challenges = [0] * size
    responses = [0] * size
    nonce = random_scalar()
    h_p = keys[signer].h_p
    challenges[(signer + 1) % size] = _challenge(
        digest, curve.multiply_base(nonce), curve.multiply(h_p, nonce)
    )
    for step in range(1, size):
        index = (signer + step) % size
        responses[index] = random_scalar()
        left = curve.combine_base(responses[index], keys[index], challenges[index])
        right = curve.combine(keys[index].h_p, responses[index], image, challenges[index])
        challenges[(index + 1) % size] = _challenge(digest, left, right)
    responses[signer] = key.close_ring(nonce, challenges[signer])
    return RingSignature(challenges[0], encoded_image, tuple(responses), tuple(ring)).encode()


def check_ring_signature(
    request: RelayRequest,
    expected: frozenset[bytes],
    *,
    max_members: int = MAX_MEMBERS,
    digest: bytes | None = None,
    tables: PointTables | None = None,
) -> None:
    """Check the ring signature of a request against the expected keys (33 bytes each).

    Membership is checked before any curve arithmetic. Any multiset over the expected keys passes,
    whatever its order and size, with or without the application's key.

    Args:
        request: the request as decoded.
        expected: the keys of the application and of the gateways that it trusts.
        max_members: larger rings are refused unseen.
        digest: `request_hash(request)` where the caller has it already.
        tables: what makes verification cheaper for keys that come often.

    Raises:
        RingError: code 2, invalid header or no signature; code 3, anything about the signature.
    """
    meta = request.meta
    if not meta.HasField("session_header"):
        raise RingError("the relay request has no session header", INVALID_REQUEST)
    try:
        check_session_header(meta.session_header)
    except InvalidRelayError as error:
        raise RingError(str(error), INVALID_REQUEST) from error
    if not meta.signature:
        raise RingError("the relay request has no signature", INVALID_REQUEST)
    signature = _split(meta.signature, max_members)
    if not expected.issuperset(signature.members):
        raise RingError("a member of the ring is not of this application", INVALID_SIGNATURE)
    if not verify_ring_signature(digest or request_hash(request), signature, tables):
        raise RingError("the ring signature does not verify", INVALID_SIGNATURE)


def _split(data: bytes, max_members: int) -> RingSignature:
    """Cut a serialized signature into its parts; points are not looked at."""
    size = int.from_bytes(data[:SIZE_LENGTH])
    if not 0 < size <= max_members:
        raise RingError(f"a ring of {size} members", INVALID_SIGNATURE)
    if len(data) < HEADER_LENGTH + MEMBER_LENGTH * size:
        raise RingError("a truncated ring signature", INVALID_SIGNATURE)
    image_start = SIZE_LENGTH + curve.SCALAR_LENGTH
    responses: list[int] = []
    members: list[bytes] = []
    for start in range(HEADER_LENGTH, HEADER_LENGTH + MEMBER_LENGTH * size, MEMBER_LENGTH):
        middle = start + curve.SCALAR_LENGTH
        responses.append(int.from_bytes(data[start:middle]) % curve.N)
        members.append(data[middle : start + MEMBER_LENGTH])
    return RingSignature(
        int.from_bytes(data[SIZE_LENGTH:image_start]) % curve.N,
        data[image_start:HEADER_LENGTH],
        tuple(responses),
        tuple(members),
    )


def _prepare(signature: RingSignature) -> tuple[curve.Point, list[curve.RingKey]]:
    """The parsed key image and members, from caches where possible."""
    try:
        image = curve.cached_point(signature.key_image)
        return image, [curve.ring_key(member) for member in signature.members]
    except InvalidPointError as error:
        raise RingError(f"in the ring signature: {error}", INVALID_SIGNATURE) from error


def _closes(digest: bytes, signature: RingSignature) -> bool:
    image, keys = _prepare(signature)
    challenge = signature.challenge
    for response, key in zip(signature.responses, keys, strict=True):
        left = curve.combine_base(response, key, challenge)
        right = curve.combine(key.h_p, response, image, challenge)
        challenge = _challenge(digest, left, right)
    return challenge == signature.challenge


def _closes_by_tables(digest: bytes, signature: RingSignature, tables: PointTables) -> bool:
    """The same, with sums of table entries where both points of a step have a table."""
    image, keys = _prepare(signature)
    tables.begin()
    image_factor = tables.factor(b"I" + signature.key_image, image)
    challenge = signature.challenge
    for member, response, key in zip(signature.members, signature.responses, keys, strict=True):
        key_factor = tables.factor(member, key.point)
        hashed_factor = tables.factor(b"H" + member, key.h_p)
        left = tables.combine_base(response, key, key_factor, challenge)
        right = tables.combine(hashed_factor, response, image_factor, challenge)
        challenge = _challenge(digest, left, right)
    return challenge == signature.challenge


def _challenge(digest: bytes, left: curve.Point | None, right: curve.Point | None) -> int:
    return curve.hash_to_scalar(digest + curve.encode_point(left) + curve.encode_point(right))
