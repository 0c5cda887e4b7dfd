"""Messages both ways: validated, signed, logged, metered."""

from __future__ import annotations

from tests.websocket.kit import (
    ask,
    budget_left,
    connect,
    mined,
    websocket_bench,
)


async def test_a_message_is_answered_signed_and_logged(redis_url: str) -> None:
    """The way of one relay: bare payload to the node, signed answer back, an entry before it."""
    async with websocket_bench(redis_url) as b:
        socket = await connect(b)
        assert await ask(b, socket, b'{"id":1}') == b're:{"id":1}'
        [relay] = await mined(b)
        assert relay.service_id == "anvil"
        assert relay.application_address == b.chain.application_key.address
        assert relay.arrival_block_height == 15
        assert budget_left(b) == 199
        await socket.aclose()
