"""Every row of relayer.md 3.1, and the claim of the connection."""

from __future__ import annotations

import base64
import json
import socket as sockets

import pytest
from relayminer_plugins.websocket.transport import WebSocketTransport

from relayminer.config.settings import (
    AuthenticationSettings,
    BackendSettings,
    EndpointSettings,
    RelayerSettings,
    ServiceSettings,
)
from relayminer.plugin import Claim
from relayminer.testing.relayer import settings
from tests.websocket.kit import (
    FAST,
    HEADERS,
    Node,
    ask,
    configure,
    connect,
    handshake,
    refusal,
    websocket_bench,
)

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
NO_BACKEND = {"error": "service temporarily unavailable", "service": "anvil"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (b"/", (b"Target-Service-Id: anvil", b"Pocket-Service-Id: other")),
        (b"/", (b"Target-Service-Id: ", b"Pocket-Service-Id: anvil", b"X-Forwarded-Host: other")),
        (b"/other", (b"X-Forwarded-Host: anvil",)),
        (b"/anvil/and/more?x=1", ()),
        (b"/anvil", ()),
    ],
)
async def test_the_service_is_named_in_four_places(
    redis_url: str, path: bytes, headers: tuple[bytes, ...]
) -> None:
    """The first of the three headers that is not empty, else the first segment of the path."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b, handshake(path, headers))
        assert await ask(b, socket, b"x") == b"re:x"
        await socket.aclose()


async def test_no_service_is_400(redis_url: str) -> None:
    """Row 1."""
    async with websocket_bench(redis_url) as b:
        status, body = await refusal(b, handshake(b"/", ()))
        assert (status, json.loads(body)) == (400, {"error": "missing service ID"})


async def test_an_unknown_service_is_404(redis_url: str) -> None:
    """Row 2."""
    async with websocket_bench(redis_url) as b:
        status, body = await refusal(b, handshake(b"/", (b"Target-Service-Id: nobody",)))
        assert (status, json.loads(body)) == (404, {"error": "unknown service"})


async def test_without_keys_it_is_500(redis_url: str) -> None:
    """Row 4."""
    async with websocket_bench(redis_url, keys={}) as b:
        status, body = await refusal(b)
        assert (status, json.loads(body)) == (500, {"error": "relayer not properly configured"})


async def test_without_a_websocket_backend_it_is_503(redis_url: str) -> None:
    """Row 5: there is no pool of this type."""
    async with websocket_bench(redis_url, configure=settings) as b:
        status, body = await refusal(b)
        assert (status, json.loads(body)) == (503, NO_BACKEND)


async def test_a_backend_that_is_left_alone_is_503_without_a_dial(redis_url: str) -> None:
    """Row 5: no healthy endpoint."""
    node = Node(refuses_with=BUSY)

    def twice(url: str) -> RelayerSettings:
        return configure(url, backend={"url": url, "unhealthy_threshold": 1})

    async with websocket_bench(redis_url, node, configure=twice) as b:
        for _ in range(2):
            status, body = await refusal(b)
            assert (status, json.loads(body)) == (503, NO_BACKEND)
        assert node.asked == 1
        assert b.value("ha_relayer_fast_fails_total", service_id="anvil") == 2


@pytest.mark.parametrize(
    "answer",
    [
        BUSY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"
        ),
        b"garbage\r\n\r\n",
        b"\x00",
    ],
)
async def test_a_backend_that_does_not_shake_hands_is_503(redis_url: str, answer: bytes) -> None:
    """K-11: the backend is dialled first, so the client learns of it as HTTP."""
    async with websocket_bench(redis_url, Node(refuses_with=answer)) as b:
        status, body = await refusal(b)
        assert (status, json.loads(body)) == (503, NO_BACKEND)


async def test_a_backend_that_is_silent_is_503_in_time(redis_url: str) -> None:
    """The dial has a time, the handshake included."""
    with sockets.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"

        def silently(_: str) -> RelayerSettings:
            return configure(url, service={"dial_timeout_seconds": 0.2})

        async with websocket_bench(redis_url, configure=silently) as b:
            status, body = await refusal(b)
            assert (status, json.loads(body)) == (503, NO_BACKEND)


async def test_the_next_endpoint_is_dialled(redis_url: str) -> None:
    """K-12: every endpoint of the pool gets its chance; the client notices nothing."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        dead = f"ws://127.0.0.1:{listener.getsockname()[1]}"

    def three(url: str) -> RelayerSettings:
        urls = [("a", dead), ("b", dead), ("c", url)]
        return RelayerSettings(
            listen="127.0.0.1:0",
            websocket=FAST,
            drain_seconds=2.0,
            services={
                "anvil": ServiceSettings(
                    backends={
                        "websocket": BackendSettings(
                            urls=tuple(EndpointSettings(url=one, name=name) for name, one in urls),
                            load_balancing="first_healthy",
                        )
                    }
                )
            },
        )

    async with websocket_bench(redis_url, configure=three) as b:
        for _ in range(3):
            socket = await connect(b)
            assert await ask(b, socket, b"x") == b"re:x"
            await socket.aclose()


async def test_the_backend_is_asked_as_configured(redis_url: str) -> None:
    """K-12: base path, headers and authentication; supplier and service are told."""
    node = Node()

    def dressed(url: str) -> RelayerSettings:
        backend = BackendSettings(
            url=f"{url}/ignored?key=1",
            base_path="/ws/v3",
            headers={"X-Api-Key": "secret", "Upgrade": "h2c"},
            authentication=AuthenticationSettings(username="user", password="word"),
        )
        return RelayerSettings(
            listen="127.0.0.1:0",
            websocket=FAST,
            services={"anvil": ServiceSettings(backends={"websocket": backend})},
        )

    async with websocket_bench(redis_url, node, configure=dressed) as b:
        supplier = b.chain.supplier_keys[0].address.encode()
        head = handshake(b"/x", (*HEADERS, b"Pocket-Supplier-Address: " + supplier))
        socket = await connect(b, head)
        await socket.aclose()
        [seen] = node.heads
        lines = seen.split(b"\r\n")
        assert lines[0] == b"GET /ws/v3?key=1 HTTP/1.1"
        names = {line.split(b":")[0].lower(): line.split(b": ", 1)[1] for line in lines[1:]}
        assert names[b"x-api-key"] == b"secret"
        assert names[b"upgrade"] == b"websocket"
        assert names[b"authorization"] == b"Basic " + base64.b64encode(b"user:word")
        assert names[b"pocket-supplier"] == supplier
        assert names[b"pocket-service"] == b"anvil"
        assert b"sec-websocket-extensions" not in names


async def test_extensions_and_subprotocols_are_declined(redis_url: str) -> None:
    """Row 6: compression off, no subprotocol, any origin."""
    offers = (
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"Sec-WebSocket-Protocol: graphql",
        b"Origin: https://anywhere",
    )
    async with websocket_bench(redis_url) as b:
        socket = await connect(b, handshake(b"/", (*HEADERS, *offers)))
        assert await ask(b, socket, b"x") == b"re:x"
        await socket.aclose()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", 426),
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400),
        (b"Connection: Upgrade\r\n", b"", 400),
        (b"Host: relayer", b"Host: \xff\xfe", 400),
        (b"Host: relayer\r\n", b"", 400),
        (b"Connection: Upgrade", b"Connection: \xff\xfe", 400),
    ],
)
async def test_a_malformed_handshake_is_refused(
    redis_url: str, old: bytes, new: bytes, status: int
) -> None:
    """What is no handshake is answered as HTTP, and the relayer goes on."""
    async with websocket_bench(redis_url) as b:
        got, body = await refusal(b, handshake().replace(old, new))
        assert got == status
        assert json.loads(body)["error"].startswith("malformed WebSocket handshake")
        socket = await connect(b)
        assert await ask(b, socket, b"x") == b"re:x"
        await socket.aclose()


async def test_http_goes_on_beside_it(redis_url: str) -> None:
    """The same port answers plain requests, also when their head comes byte by byte."""
    async with websocket_bench(redis_url) as b:
        status, body = await refusal(b, b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert status == 200
        assert json.loads(body)["status"] == "healthy"


def test_only_an_upgrade_is_claimed() -> None:
    """A head is judged when it is whole; while it may still be ours, more is waited for."""
    claims = WebSocketTransport().claims
    head = handshake()
    assert claims(head) is Claim.YES
    assert claims(head.replace(b"Upgrade: websocket", b"uPGRADE:\tWebSocket ")) is Claim.YES
    assert claims(b"G") is Claim.MORE
    assert claims(head[:30]) is Claim.MORE
    assert claims(b"POST / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n") is Claim.NO
    assert claims(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nUpgrade: websocket\r\n") is Claim.NO
    assert claims(b"GET / HTTP/1.1\r\nX-Upgrade: websocket\r\n\r\n") is Claim.NO
    assert claims(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n") is Claim.NO
