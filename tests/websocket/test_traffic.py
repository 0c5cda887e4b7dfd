"""Limits of a service and lanes, for messages that wait for an answer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from relayminer.config.traffic import AdmissionSettings, LaneSettings
from relayminer.testing.small_chain import SERVICE
from tests.websocket.frames import CLOSE, FrameSocket
from tests.websocket.kit import (
    Node,
    answer_of,
    ask,
    budget_left,
    configure,
    connect,
    message,
    until,
    websocket_bench,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from relayminer.testing.relayer import Bench

FULL = (1013, "service is at capacity")


def limited(max_in_flight: int, **service: Any) -> Callable[[str], Any]:
    """So many at the backend at once, nobody waits."""
    admission = AdmissionSettings(max_in_flight=max_in_flight, max_waiting=0)
    return partial(configure, service={"admission": admission, **service})


def in_flight(b: Bench) -> int:
    """Places that are taken."""
    traffic = b.relayer.backends.routes[SERVICE].by_type["websocket"].traffic
    assert traffic is not None
    queues = [traffic.queue] if traffic.queue else []
    queues += [lane.queue for lane in (traffic.lanes.all if traffic.lanes else ())]
    return sum(queue.in_flight for queue in queues)


class Reluctant:
    """A node that answers what it has heard when it is told to, except notifications."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.most = 0
        self.unanswered = 0
        self.news = trio.Event()
        self.may_answer = trio.Event()
        self._writing = trio.Lock()

    async def talk(self, socket: FrameSocket) -> None:
        """Serve one conversation."""
        async with trio.open_nursery() as nursery:
            while True:
                got = await socket.receive()
                if got.opcode == CLOSE:
                    nursery.cancel_scope.cancel()
                    return
                self.heard.append(got.payload)
                self.news.set()
                if got.payload.startswith(b"notify"):
                    continue
                self.unanswered += 1
                self.most = max(self.most, self.unanswered)
                nursery.start_soon(self._answer, socket, got.payload)

    async def _answer(self, socket: FrameSocket, payload: bytes) -> None:
        await self.may_answer.wait()
        self.unanswered -= 1
        async with self._writing:
            await socket.send(payload)

    async def hears(self, count: int) -> None:
        """Wait until so many messages have arrived."""
        with trio.fail_after(10):
            while len(self.heard) < count:
                self.news = trio.Event()
                await self.news.wait()


async def farewell(socket: FrameSocket) -> tuple[int, str]:
    """How the relayer says goodbye."""
    with trio.fail_after(5):
        got = await socket.receive()
        assert got.opcode == CLOSE, got
        await socket.aclose()
    return got.code, got.reason


async def test_who_sends_ahead_is_slowed_down_not_turned_away(redis_url: str) -> None:
    """60 requests on one conversation, 2 places: all are answered in order, 2 at the node."""
    reluctant = Reluctant()
    reluctant.may_answer.set()
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=limited(2)) as b:
        socket = await connect(b)
        for number in range(60):
            await socket.send(message(b.chain, b"%d" % number))
        answers = [answer_of(b, (await socket.receive()).payload).payload for _ in range(60)]
        assert sorted(map(int, answers)) == list(range(60))
        assert reluctant.most <= 2
        assert len(await b.logged()) == 60
        await until(lambda: in_flight(b) == 0)
        await socket.aclose()


async def test_without_a_place_in_time_it_is_1013(redis_url: str) -> None:
    """Another conversation has the only place: refused at once, not charged, not forwarded."""
    reluctant = Reluctant()
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=limited(1)) as b:
        one, other = await connect(b), await connect(b)
        await one.send(message(b.chain, b"first"))
        await reluctant.hears(1)
        await other.send(message(b.chain, b"second"))
        assert await farewell(other) == FULL
        assert budget_left(b) == 199
        assert b.value("ha_relayer_relays_shed_total", service_id=SERVICE, lane="service") == 1
        reluctant.may_answer.set()
        assert answer_of(b, (await one.receive()).payload).payload == b"first"
        third = await connect(b)
        await third.send(message(b.chain, b"third"))
        assert answer_of(b, (await third.receive()).payload).payload == b"third"
        assert reluctant.heard == [b"first", b"third"]
        await one.aclose()
        await third.aclose()


async def test_who_waits_is_served_when_a_place_is_free(redis_url: str) -> None:
    """The queue is the one of all relays: turn by turn."""
    reluctant = Reluctant()
    admission = AdmissionSettings(max_in_flight=1, max_wait_seconds=20.0)
    made = partial(configure, service={"admission": admission})
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=made) as b:
        sockets = [await connect(b) for _ in range(4)]
        for number, socket in enumerate(sockets):
            await socket.send(message(b.chain, b"%d" % number))
        traffic = b.relayer.backends.routes[SERVICE].by_type["websocket"].traffic
        assert traffic is not None
        queue = traffic.queue
        assert queue is not None
        await until(lambda: queue.waiting == 3)
        reluctant.may_answer.set()
        for number, socket in enumerate(sockets):
            assert answer_of(b, (await socket.receive()).payload).payload == b"%d" % number
            await socket.aclose()
        assert reluctant.most == 1


async def test_a_subscription_holds_no_place(redis_url: str) -> None:
    """Its confirmation is the answer; pushes go on while others use the only place."""
    go_on = trio.Event()

    async def talk(socket: FrameSocket) -> None:
        got = await socket.receive()
        await socket.send(b"re:" + got.payload)
        if got.payload == b"subscribe":
            await go_on.wait()
            for number in range(5):
                await socket.send(b"push %d" % number)
        await socket.receive()

    async with websocket_bench(redis_url, Node(talk), configure=limited(1)) as b:
        subscriber, other = await connect(b), await connect(b)
        assert await ask(b, subscriber, b"subscribe") == b"re:subscribe"
        assert in_flight(b) == 0
        assert await ask(b, other, b"x") == b"re:x"
        go_on.set()
        for number in range(5):
            got = await subscriber.receive()
            assert answer_of(b, got.payload).payload == b"push %d" % number
        assert in_flight(b) == 0
        await subscriber.aclose()
        await other.aclose()


async def test_what_nobody_answers_gives_its_place_back(redis_url: str) -> None:
    """A notification holds it for as long as a relay may take: nobody is locked out for ever."""
    reluctant = Reluctant()
    reluctant.may_answer.set()
    made = limited(1, request_timeout_seconds=0.3)
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=made) as b:
        socket, other = await connect(b), await connect(b)
        await socket.send(message(b.chain, b"notify"))
        await socket.send(message(b.chain, b"question"))
        assert answer_of(b, (await socket.receive()).payload).payload == b"question"
        await until(lambda: in_flight(b) == 0)
        assert await _asked(b, other, b"x") == b"x"
        await socket.aclose()
        await other.aclose()


async def _asked(b: Bench, socket: FrameSocket, payload: bytes) -> bytes:
    await socket.send(message(b.chain, payload))
    return answer_of(b, (await socket.receive()).payload).payload


async def test_a_node_that_wants_more_before_it_answers_is_no_deadlock(redis_url: str) -> None:
    """It answers after the third message; there are two places: the third goes when time is up."""

    async def talk(socket: FrameSocket) -> None:
        heard = [(await socket.receive()).payload for _ in range(3)]
        for payload in heard:
            await socket.send(payload)
        await socket.receive()

    made = limited(2, request_timeout_seconds=0.3)
    async with websocket_bench(redis_url, Node(talk), configure=made) as b:
        socket = await connect(b)
        for number in range(3):
            await socket.send(message(b.chain, b"%d" % number))
        with trio.fail_after(10):
            for number in range(3):
                got = await socket.receive()
                assert answer_of(b, got.payload).payload == b"%d" % number
        assert in_flight(b) == 0
        await socket.aclose()


async def test_lanes_hold_for_messages(redis_url: str) -> None:
    """Dear methods share a place of their own; cheap ones pass beside them."""
    reluctant = Reluctant()
    lanes = {"dear": LaneSettings(methods=("trace_*",), max_in_flight=1, max_waiting=0)}
    made = partial(configure, service={"lanes": lanes})

    def call(method: str) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()

    async with websocket_bench(redis_url, Node(reluctant.talk), configure=made) as b:
        one, other, third = [await connect(b) for _ in range(3)]
        await one.send(message(b.chain, call("trace_block")))
        await reluctant.hears(1)
        assert in_flight(b) == 1
        await other.send(message(b.chain, call("trace_call")))
        assert await farewell(other) == FULL
        await third.send(message(b.chain, call("eth_blockNumber")))
        await reluctant.hears(2)
        reluctant.may_answer.set()
        assert answer_of(b, (await third.receive()).payload).payload == call("eth_blockNumber")
        assert answer_of(b, (await one.receive()).payload).payload == call("trace_block")
        await until(lambda: in_flight(b) == 0)
        await one.aclose()
        await third.aclose()


async def test_the_end_of_a_conversation_frees_its_places(redis_url: str) -> None:
    """With one request at the node and one waiting for it: nothing charged, nothing held."""
    reluctant = Reluctant()
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=limited(1)) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"at the node"))
        await socket.send(message(b.chain, b"waiting"))
        await reluctant.hears(1)
        await until(lambda: budget_left(b) == 198)
        b.relayer_scope.cancel()
        assert await farewell(socket) == (1012, "relayer is shutting down")
        with trio.fail_after(5):
            await b.relayer_stopped.wait()
        assert in_flight(b) == 0
        assert reluctant.heard == [b"at the node"]
        assert not await b.logged()


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_client_that_hangs_up_frees_its_places(redis_url: str, *, waiting: bool) -> None:
    """The same without a word; with a message that waits, once that has had its time."""
    reluctant = Reluctant()
    made = limited(1, request_timeout_seconds=0.5) if waiting else limited(1)
    async with websocket_bench(redis_url, Node(reluctant.talk), configure=made) as b:
        socket = await connect(b)
        await socket.send(message(b.chain, b"at the node"))
        await reluctant.hears(1)
        if waiting:
            await socket.send(message(b.chain, b"waiting"))
            await until(lambda: budget_left(b) == 198)
        await socket.aclose()
        other = await connect(b)
        await until(lambda: in_flight(b) == 0)
        reluctant.may_answer.set()
        assert await _asked(b, other, b"x") == b"x"
        await other.aclose()
