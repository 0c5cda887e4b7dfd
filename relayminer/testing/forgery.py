"""Relay requests that look good and are not: forged, mixed up, damaged.

Each is made from a seed, so that one that a relayer falls for can be made again.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from relayminer.protocol import codec
from relayminer.protocol.errors import DecodeError
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.testing.parties import Parties


@frozen
class Forged:
    """One forgery.

    Attributes:
        kind: how it was made.
        body: what is sent.
    """

    kind: str
    body: bytes


class Forger:
    """Makes forgeries of one session's relays.

    Args:
        parties: whose relays.
        payload: of the n-th request.
    """

    def __init__(self, parties: Parties, payload: Callable[[int], bytes]) -> None:
        self._parties = parties
        self._payload = payload
        self._stranger = SigningKey.from_seed(b"forger")
        self._kinds: dict[str, Callable[[Random], bytes]] = {
            "ring_with_stranger": self._ring_with_stranger,
            "ring_of_strangers": self._ring_of_strangers,
            "huge_ring": self._huge_ring,
            "no_signature": self._no_signature,
            "signature_of_another": self._signature_of_another,
            "signature_bits": self._signature_bits,
            "signature_cut": self._signature_cut,
            "payload_of_another": self._payload_of_another,
            "payload_appended": self._payload_appended,
            "supplier_after_signing": partial(self._supplier, signed=False),
            "supplier_signed": partial(self._supplier, signed=True),
            "supplier_missing": partial(self._field, "supplier_operator_address", ""),
            "session_id_signed": self._session_id,
            "heights_signed": self._heights,
            "heights_after_signing": self._heights_after_signing,
            "past_session": self._past_session,
            "application_of_another": self._application,
            "service_after_signing": self._service,
            "bits": self._bits,
            "cut": self._cut,
            "noise": self._noise,
        }

    @property
    def kinds(self) -> int:
        """How many kinds there are; seeds that follow each other take turns."""
        return len(self._kinds)

    def make(self, seed: int) -> Forged:
        """The forgery of this seed."""
        kind = list(self._kinds)[seed % len(self._kinds)]
        random = Random(f"forgery:{seed}")  # noqa: S311 - reproducible on purpose
        return Forged(kind, self._kinds[kind](random))

    def _request(self, random: Random) -> RelayRequest:
        return self._parties.request(self._payload(random.randrange(1 << 30)))

    def _ring_with_stranger(self, random: Random) -> bytes:
        ring = [self._stranger.public_key, self._parties.gateway_key.public_key]
        random.shuffle(ring)
        return codec.encode(self._parties.request(self._payload(1), ring=ring))

    def _ring_of_strangers(self, random: Random) -> bytes:
        other = SigningKey.from_seed(b"forger %d" % random.randrange(100))
        ring = [self._stranger.public_key, other.public_key]
        return codec.encode(
            self._parties.request(self._payload(2), ring=ring, signer=self._stranger)
        )

    def _huge_ring(self, random: Random) -> bytes:
        ring = [*self._parties.ring, *([self._parties.ring[0]] * random.randrange(40, 60))]
        return codec.encode(self._parties.request(self._payload(3), ring=ring))

    def _no_signature(self, random: Random) -> bytes:
        request = self._request(random)
        request.meta.signature = b""
        return codec.encode(request)

    def _signature_of_another(self, random: Random) -> bytes:
        request, other = self._request(random), self._parties.request(self._payload(0))
        request.meta.signature = other.meta.signature
        request.payload += b"\x12\x00"
        return codec.encode(request)

    def _signature_bits(self, random: Random) -> bytes:
        request = self._request(random)
        request.meta.signature = _flipped(request.meta.signature, random)
        return codec.encode(request)

    def _signature_cut(self, random: Random) -> bytes:
        request = self._request(random)
        request.meta.signature = request.meta.signature[: random.randrange(190)]
        return codec.encode(request)

    def _payload_of_another(self, random: Random) -> bytes:
        request = self._request(random)
        request.payload = self._payload(random.randrange(1 << 30)) + b" "
        return codec.encode(request)

    def _payload_appended(self, random: Random) -> bytes:
        # A field behind the message: merged by protobuf, so that the payload is another one.
        other = RelayRequest(payload=self._payload(random.randrange(1 << 30)) + b" ")
        return codec.encode(self._request(random)) + codec.encode(other)

    def _supplier(self, random: Random, *, signed: bool) -> bytes:
        address = SigningKey.from_seed(b"supplier of a forger %d" % random.randrange(5)).address
        return self._field("supplier_operator_address", address, random, signed=signed)

    def _field(self, name: str, value: str, random: Random, *, signed: bool = True) -> bytes:
        def change(request: RelayRequest) -> None:
            setattr(request.meta, name, value)

        return self._changed(change, random, signed=signed)

    def _header(self, random: Random, *, signed: bool = True, **fields: str | int) -> bytes:
        def change(request: RelayRequest) -> None:
            for name, value in fields.items():
                setattr(request.meta.session_header, name, value)

        return self._changed(change, random, signed=signed)

    def _changed(
        self, change: Callable[[RelayRequest], None], random: Random, *, signed: bool
    ) -> bytes:
        payload = self._payload(random.randrange(1 << 30))
        request = self._parties.request(payload, change=change if signed else None)
        if not signed:
            change(request)
        return codec.encode(request)

    def _session_id(self, random: Random) -> bytes:
        return self._header(random, session_id=random.randbytes(32).hex())

    def _heights(self, random: Random) -> bytes:
        header = self._parties.header
        end = header.session_end_block_height + random.choice((-1, 1, 2, 5_000))
        return self._header(random, session_end_block_height=end)

    def _heights_after_signing(self, random: Random) -> bytes:
        start = self._parties.header.session_start_block_height + random.choice((1, 2))
        return self._header(random, signed=False, session_start_block_height=start)

    def _past_session(self, random: Random) -> bytes:
        header = self._parties.header
        blocks = header.session_end_block_height - header.session_start_block_height + 1
        back = blocks * random.choice((1, 2, 3))
        return self._header(
            random,
            session_start_block_height=header.session_start_block_height - back,
            session_end_block_height=header.session_end_block_height - back,
        )

    def _application(self, random: Random) -> bytes:
        return self._header(random, application_address=self._stranger.address)

    def _service(self, random: Random) -> bytes:
        service = self._parties.header.service_id + random.choice(("x", "-", "/../x", "\x00", ""))
        changed = self._header(random, signed=False, service_id=service)
        if service == self._parties.header.service_id:
            return changed[: random.randrange(1, len(changed))]
        return changed

    def _bits(self, random: Random) -> bytes:
        good = codec.encode(self._request(random))
        while True:
            bad = _flipped(good, random)
            try:
                meant = codec.encode(codec.decode(RelayRequest, bad))
            except DecodeError:
                return bad
            if meant != good:
                return bad

    def _cut(self, random: Random) -> bytes:
        good = codec.encode(self._request(random))
        return good[: random.randrange(1, len(good))]

    def _noise(self, random: Random) -> bytes:
        return random.randbytes(random.randrange(1, 400))


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed) if bytes(changed) != data else data[:-1]


__all__ = ["Forged", "Forger"]
