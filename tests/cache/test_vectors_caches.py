"""Our caches beside those of a Go fleet: each reads what the other wrote, and writes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relayminer.cache.caches import Caches
from relayminer.cache.metrics import CacheMetrics
from relayminer.cache.moment import ChainMoment
from relayminer.chain.errors import ChainUnavailableError
from relayminer.protocol.pb import application_pb2, proof_pb2, session_pb2, shared_pb2
from relayminer.telemetry.metrics import Metrics
from relayminer.testing.store import fresh_store, running_gateway
from tests.relayer.kit import CACHE_TYPES
from tests.state.encodings import APPLICATION, NAMES, SUPPLIER, cases, keys_of, raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.state.gateway import Redis

pytestmark = pytest.mark.vectors

# When the sessions of the recording were looked at.
HEIGHT = 16


class OneAnswer:
    """A chain that answers everything with one value, or is away."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, _name: str) -> Any:
        return self._answer

    async def _answer(self, *_arguments: Any) -> Any:
        if self._value is None:
            raise ChainUnavailableError("away")
        return self._value


class Account:
    """What the chain says of an account."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key


def recorded(case: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """Cache type, key, and what the chain says, of a scenario; None for one of something else."""
    inputs = case["inputs"]
    known: dict[str, Callable[[], tuple[str, Any, Any]]] = {
        "application cache": lambda: (
            *("application", APPLICATION),
            proto(application_pb2.Application, inputs),
        ),
        "service cache": lambda: ("service", "svc1", proto(shared_pb2.Service, inputs)),
        "account cache": lambda: (
            *("account", inputs["address"]),
            Account(bytes.fromhex(inputs["public_key"])),
        ),
        "shared params singleton": lambda: ("shared_params", "", shared_pb2.Params(**inputs)),
        "shared params at": lambda: ("shared_params_at", 123, shared_pb2.Params(**inputs)),
        "proof params": lambda: ("proof_params", "", proto(proof_pb2.Params, inputs)),
        "session cache": lambda: (
            "session",
            (inputs["application"], inputs["service"], inputs["height"]),
            proto(session_pb2.Session, inputs),
        ),
    }
    found = [make for label, make in known.items() if case["label"].startswith(label)]
    return found[0]() if found else None


def proto(message: Any, inputs: dict[str, Any]) -> Any:
    """The message of a recorded scenario."""
    return message.FromString(bytes.fromhex(inputs["proto"]))


def caches(chain: Any, redis: Redis) -> Caches:
    """Those of a process."""
    moment = ChainMoment(30.0)
    moment.observe(HEIGHT)
    return Caches(
        {kind.name: kind() for kind in CACHE_TYPES},
        chain=chain,
        store=redis,
        names=NAMES,
        moment=moment,
        max_entries=10,
        metrics=CacheMetrics(Metrics()),
    )


async def test_recorded_entries_are_read_and_written() -> None:
    """With the chain away we serve what Go processes stored; what we store is what they store."""
    done = 0
    async with fresh_store() as url, running_gateway(url) as redis:
        for case in cases():
            scenario = recorded(case)
            if scenario is None:
                continue
            name, key, told = scenario
            stored = {one: what for one, what in keys_of(case).items() if "rewardable" not in one}
            ((store_key, theirs),) = stored.items()
            expected: Any = told.public_key if isinstance(told, Account) else told
            await redis.command("FLUSHALL")
            life = ("PX", theirs["ttl_ms"]) if theirs["ttl_ms"] else ()
            await redis.command("SET", store_key, raw(theirs["value"]), *life)
            assert await caches(OneAnswer(None), redis).of(name).get(key) == expected
            await redis.command("FLUSHALL")
            assert await caches(OneAnswer(told), redis).of(name).get(key) == expected
            assert await redis.command("GET", store_key) == raw(theirs["value"])
            left_ms = await redis.command("PTTL", store_key)
            if name == "shared_params":
                # The recording did not know the parameters that it stored.
                theirs["ttl_ms"] = 2 * expected.num_blocks_per_session * 30_000
            assert theirs["ttl_ms"] - 5_000 <= max(left_ms, 0) <= theirs["ttl_ms"]
            done += 1
    assert done == 13


async def test_the_registry_of_go_miners_is_read() -> None:
    """Supplier states and service factors of Go miners are what our relayers go by."""
    async with fresh_store() as url, running_gateway(url) as redis:
        seen = 0
        for case in cases():
            label, inputs = case["label"], case["inputs"]
            if not label.startswith(("supplier state", "service factors")):
                continue
            await redis.command("FLUSHALL")
            for key, one in keys_of(case).items():
                await redis.command("SET", key, raw(one["value"]))
            ours = caches(OneAnswer(None), redis)
            if label.startswith("supplier state"):
                state = await ours.of("supplier").get(SUPPLIER)
                assert (state.readable, state.status) == (True, inputs["status"])
                assert state.staked == inputs["staked"]
                assert state.services == frozenset(inputs["services"] or ())
            else:
                assert await ours.of("service_factor").get("") == inputs["default"]
                for service in ("svc1", "svc3"):
                    factor = await ours.of("service_factor").get(service)
                    assert factor == inputs["services"][service]
            seen += 1
        assert seen == 4


async def test_recorded_messages_are_understood() -> None:
    """A message of a Go process says the same to us, and a clear-all clears all."""
    heard = 0
    ours = caches(OneAnswer(None), None)  # type: ignore[arg-type]  # nothing is read
    kinds = {kind.name: kind() for kind in CACHE_TYPES}
    for case in cases():
        for message in case["published"] or ():
            for kind in kinds.values():
                if kind.channel(NAMES) != message["channel"]:
                    continue
                key = kind.invalidated(message["payload"].encode())
                assert isinstance(key, str)
                assert key in message["payload"]
                ours.handle(message["channel"], message["payload"].encode())
                heard += 1
    assert heard == 8
