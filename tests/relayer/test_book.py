"""The bound on look-ups for applications that nobody has vouched for."""

from __future__ import annotations

from relayminer.protocol.signature import SigningKey
from relayminer.relayer.book import LookupLimit
from tests.relayer.client import connect
from tests.relayer.kit import bench, request_body, signed_request


def test_the_limit_is_a_bucket_that_refills() -> None:
    """The burst is spent, then the rate counts."""
    now = 0.0
    limit = LookupLimit(10.0, 3.0, lambda: now)
    assert [limit.take() for _ in range(4)] == [True, True, True, False]
    now = 0.1
    assert limit.take()
    assert not limit.take()


async def test_strangers_do_not_reach_the_chain_without_end(redis_url: str) -> None:
    """Past the limit they are turned away, and the application that is known is served."""
    async with bench(redis_url) as b:
        client = await connect(b.address)
        assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        b.relayer._book._limit = LookupLimit(0.0, 2.0, lambda: 0.0)
        statuses = []
        for n in range(5):
            stranger = SigningKey.from_seed(b"stranger %d" % n).address
            request = signed_request(b.chain)
            request.meta.session_header.application_address = stranger
            statuses.append((await client.send(request_body(request))).status)
        assert statuses == [403, 403, 503, 503, 503]
        assert sum(one.startswith("application ") for one in b.chain.asked) == 3
        assert (await client.send(request_body(signed_request(b.chain)))).status == 200
        client.wire.close()
