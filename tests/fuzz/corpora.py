"""Good inputs, from which bad ones are made."""

from __future__ import annotations

from random import Random

from relayminer.protocol import codec
from relayminer.protocol.envelope import HttpRequest, encode_http_request
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.smst import Trie, encode_proof
from relayminer.testing.small_chain import SmallChain, request_body, signed_request

CHAIN = SmallChain()

HTTP_WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: ",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 0x10\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: close\r\n",
    b"HTTP/1.0",
    b"HTTP/9.9",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"\x00",
    b": ",
)


def http_requests() -> list[bytes]:
    """Heads and bodies as clients send them."""
    body = request_body(signed_request(CHAIN))
    return [
        b"POST / HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nRpc-Type: 3\r\n\r\n%b"
        % (len(body), body),
        (
            b"POST /v1 HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
        ),
        b"GET /health HTTP/1.1\r\nHost: r\r\nAccept: */*\r\n\r\n",
        b"GET /ready/anvil?x=%20 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        (
            b"GET / HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ),
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ]


def http_answers() -> list[bytes]:
    """What backends answer."""
    return [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\nX: y\r\n\r\nuntil the end",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
    ]


def relays() -> list[bytes]:
    """Relay requests of several shapes, signed."""
    odd = HttpRequest("GET", "http://x/%ff?a=b&a=c", {"A": ("1", "2"), "": ()}, bytes(range(256)))
    return [
        request_body(signed_request(CHAIN)),
        request_body(signed_request(CHAIN, envelope=odd)),
        request_body(signed_request(CHAIN, envelope=HttpRequest("", "", {}, b""))),
        codec.encode(RelayRequest()),
    ]


def envelopes() -> list[bytes]:
    """Payloads of requests."""
    return [
        encode_http_request(HttpRequest("POST", "/", {"A": ("b",)}, b"body")),
        encode_http_request(HttpRequest("GET", "/x", {"A": ("b", "c"), "D": ("é",)}, b"\xff")),
    ]


def proofs() -> list[bytes]:
    """Serialized proofs of tries of different sizes."""
    found = []
    for leaves in (1, 2, 30):
        random, trie = Random(leaves), Trie()  # noqa: S311 - reproducible on purpose
        for _ in range(leaves):
            trie.update(random.randbytes(32), random.randbytes(40), 100)
        found.append(encode_proof(trie.prove_closest(random.randbytes(32)).compact()))
    return found


def ring_signatures() -> list[bytes]:
    """Of rings of two to five."""
    ring = CHAIN.ring
    return [
        signed_request(CHAIN, ring=[*ring, *([ring[0]] * more)]).meta.signature for more in range(4)
    ]
