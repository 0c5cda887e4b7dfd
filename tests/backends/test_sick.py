"""Every illness of a backend has a documented outcome, and hurts nobody else's relays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from relayminer.config.settings import (
    BackendSettings,
    EndpointSettings,
    RelayerSettings,
    ServiceSettings,
)
from relayminer.testing.http_client import error_of
from relayminer.testing.relayer import bench, settings
from relayminer.testing.small_chain import SERVICE
from tests.backends import sick
from tests.backends.sick import SickBackend, ask, page_of, until

if TYPE_CHECKING:
    from relayminer.testing.relayer import Bench

REST = b"4"
HEALTHY_RELAYS = 20
SICK_RELAYS = 8


def beside(sick_url: str, healthy_url: str, **changes: float) -> RelayerSettings:
    """JSON-RPC goes to the sick backend, REST of the same service to a healthy one."""
    return RelayerSettings(
        listen="127.0.0.1:0",
        services={
            SERVICE: ServiceSettings(
                backends={
                    "jsonrpc": BackendSettings(url=sick_url, recovery_timeout_seconds=60.0),
                    "rest": BackendSettings(url=healthy_url),
                }
            )
        },
        drain_seconds=2.0,
        **{"request_timeout_seconds": 0.4, "dial_timeout_seconds": 0.2, **changes},  # type: ignore[arg-type]
    )


async def sick_statuses(b: Bench, count: int) -> list[tuple[int, str]]:
    """What `count` relays at once to the sick backend are answered."""
    found: list[tuple[int, str]] = []

    async def one() -> None:
        answer = await ask(b)
        found.append((answer.status, "" if answer.status == 200 else error_of(answer)))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return found


ERROR = (502, "backend error")
OUTCOMES = {
    "silent": (sick.silent, ERROR, "backend_timeout", True),
    "stuck": (sick.stuck, ERROR, "backend_timeout", True),
    "dripping_headers": (sick.dripping_headers, ERROR, "backend_timeout", True),
    "garbage": (sick.garbage, ERROR, "backend_network_error", False),
    "half_closed": (sick.half_closed, ERROR, "backend_network_error", False),
    "endless_headers": (sick.endless_headers, ERROR, "backend_network_error", False),
    "one_endless_header": (sick.one_endless_header, ERROR, "backend_network_error", False),
    "server_error": (sick.server_error, (500, "backend service error"), "backend_5xx", False),
}


@pytest.mark.parametrize("illness", OUTCOMES)
async def test_an_illness_has_its_outcome_and_harms_nobody(redis_url: str, illness: str) -> None:
    """The sick backend's relays get its answer, the breaker sees it, healthy relays are served."""
    behaviour, outcome, reason, is_timeout = OUTCOMES[illness]
    backend = SickBackend(behaviour)
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        async with bench(redis_url, configure=partial(beside, backend.url)) as b:
            await ask(b, rpc_type=REST)
            found: list[tuple[int, str]] = []

            async def be_sick() -> None:
                # Fewer than the breaker's threshold: each of them meets the backend.
                found.extend(await sick_statuses(b, 4))

            async with trio.open_nursery() as both:
                both.start_soon(be_sick)
                for _ in range(HEALTHY_RELAYS):
                    with trio.fail_after(1):
                        assert (await ask(b, rpc_type=REST)).status == 200
            assert found == [outcome] * 4
            assert (
                b.value(
                    "ha_relayer_relays_rejected_total",
                    service_id=SERVICE,
                    rpc_type="jsonrpc",
                    reason=reason,
                )
                == 4
            )
            assert len(await b.logged()) == HEALTHY_RELAYS + 1
            await sick_statuses(b, SICK_RELAYS)
            page = await page_of(b)
            states = {one["url"]: one["state"] for one in page["backends"]["endpoints"]}
            assert states == {backend.url: "left_alone", b.backend.url: "healthy"}, is_timeout
            assert page["ready"]
            assert (await ask(b)).status == 503
        nursery.cancel_scope.cancel()


async def test_a_huge_answer_is_refused_beyond_the_limit_and_blames_nobody(redis_url: str) -> None:
    """50 MB against a limit of 10 MB, declared or not: 502, and the endpoint stays in."""
    for behaviour in (sick.huge, sick.endless_body):
        backend = SickBackend(behaviour)
        async with trio.open_nursery() as nursery:
            await nursery.start(backend.run)
            configure = partial(
                beside, backend.url, max_response_bytes=10_000_000, request_timeout_seconds=10.0
            )
            async with bench(redis_url, configure=configure) as b:
                assert await sick_statuses(b, SICK_RELAYS) == [ERROR] * SICK_RELAYS
                assert (await page_of(b))["backends"]["healthy"] == 2
                assert backend.asked == SICK_RELAYS
            nursery.cancel_scope.cancel()


async def test_a_huge_answer_within_the_limit_is_served(redis_url: str) -> None:
    """50 MB is signed, logged and delivered whole, while other relays are served."""
    backend = SickBackend(sick.huge)
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        configure = partial(beside, backend.url, request_timeout_seconds=30.0)
        async with bench(redis_url, configure=configure) as b:
            sizes: list[int] = []

            async def fetch_huge() -> None:
                answer = await ask(b)
                assert answer.status == 200
                sizes.append(len(answer.body))

            async with trio.open_nursery() as both:
                both.start_soon(fetch_huge)
                for _ in range(HEALTHY_RELAYS):
                    with trio.fail_after(3):
                        assert (await ask(b, rpc_type=REST)).status == 200
            assert sizes[0] > sick.HUGE_BYTES
        nursery.cancel_scope.cancel()


async def test_a_killed_backend_fails_over_and_comes_back(redis_url: str) -> None:
    """Nobody notices the death of one of two; after its return it gets relays again."""
    backend = SickBackend(sick.good)

    def configure(url: str) -> RelayerSettings:
        return settings(
            url,
            backend={
                "urls": (EndpointSettings(url=backend.url), EndpointSettings(url=url)),
                "load_balancing": "first_healthy",
                "recovery_timeout_seconds": 0.2,
                "unhealthy_threshold": 2,
            },
            retry_budget_reserve=100,
        )

    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        async with bench(redis_url, configure=configure) as b:
            assert (await ask(b)).status == 200
            assert backend.asked == 1
            backend.kill()
            for _ in range(10):
                assert (await ask(b)).status == 200
            assert (await page_of(b))["backends"]["endpoints"][0]["state"] in {
                "left_alone",
                "on_trial",
            }
            revived = SickBackend(sick.good)
            revived.port = backend.port
            await nursery.start(revived.run)

            async def serves_again() -> bool:
                assert (await ask(b)).status == 200
                return revived.asked > 0

            await until(serves_again)
            assert (await page_of(b))["backends"]["endpoints"][0]["state"] == "healthy"
        nursery.cancel_scope.cancel()


async def test_all_attempts_share_one_time(redis_url: str) -> None:
    """K-25: a silent endpoint is not asked twice, and no relay outlives its request timeout."""
    first, second = SickBackend(sick.silent), SickBackend(sick.silent)
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        await nursery.start(second.run)

        def configure(url: str) -> RelayerSettings:
            del url
            return settings(
                "",
                backend={
                    "urls": (EndpointSettings(url=first.url), EndpointSettings(url=second.url)),
                    "max_retries": 3,
                },
                request_timeout_seconds=0.4,
            )

        async with bench(redis_url, configure=configure) as b:
            began = trio.current_time()
            assert (await ask(b)).status == 502
            assert trio.current_time() - began < 0.9
            assert first.asked + second.asked == 1
        nursery.cancel_scope.cancel()


async def test_the_retry_budget_bounds_retries(redis_url: str) -> None:
    """When everything fails, retries are the reserve and a fifth of the relays, not all of them."""
    first, second = SickBackend(sick.server_error), SickBackend(sick.server_error)
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run)
        await nursery.start(second.run)

        def configure(url: str) -> RelayerSettings:
            del url
            urls = (EndpointSettings(url=first.url), EndpointSettings(url=second.url))
            return settings(
                "",
                backend={"urls": urls, "unhealthy_threshold": 1_000},
                retry_budget_ratio=0.2,
                retry_budget_reserve=5,
            )

        async with bench(redis_url, configure=configure) as b:
            for _ in range(50):
                assert (await ask(b)).status == 500
            assert 50 + 13 <= first.asked + second.asked <= 50 + 15
            assert b.value("ha_relayer_backend_retries_total") == first.asked + second.asked - 50
            assert b.value("ha_relayer_backend_retries_refused_total") >= 35
        nursery.cancel_scope.cancel()


async def test_an_address_that_gives_no_connection_is_failed_over(redis_url: str) -> None:
    """Nothing was asked yet, so another address is, within the same time."""
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(sick.silent_listener)

        def configure(url: str) -> RelayerSettings:
            urls = (EndpointSettings(url=f"http://{host}:{port}"), EndpointSettings(url=url))
            return settings(
                "",
                backend={"urls": urls, "load_balancing": "first_healthy", "unhealthy_threshold": 1},
                dial_timeout_seconds=0.1,
            )

        async with bench(redis_url, configure=configure) as b:
            answer = await ask(b)
            assert (answer.status, answer.header(b"backend-retries")) == (200, b"1")
            states = [one["state"] for one in (await page_of(b))["backends"]["endpoints"]]
            assert states == ["left_alone", "healthy"]
        nursery.cancel_scope.cancel()
