"""Sends the relays: a gateway's part of the demonstration."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from itertools import cycle, islice
from typing import TYPE_CHECKING

import trio

from relayminer.demo.children import DemoError
from relayminer.demo.rows import Row, Rows
from relayminer.devnet.gateway import Gateway, RelayRecord
from relayminer.gateway.asking import ask
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.modes import (
    GRPC,
    JSONRPC,
    MODES,
    STREAM,
    WEBSOCKET,
    Dialer,
    Question,
    dialer,
    payload_of,
)
from relayminer.gateway.relays import jsonrpc_payload, sign_relay
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relayminer.demo.plan import DemoOptions
    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.info import DevnetInfo
    from relayminer.gateway.chain import GatewayChain, OpenSession

POLL_SECONDS = 0.1
PAUSE_AFTER_FAILURE_SECONDS = 0.2
MAX_FAILURES_KEPT = 5
METHODS = ("eth_blockNumber", "eth_chainId", "eth_gasPrice")
EVERY = 25
OTHER_WAYS = {7: WEBSOCKET, 13: GRPC, 19: STREAM}
"""Of so many relays these go another way than a POST with JSON-RPC inside."""
ANSWER_SECONDS = 30.0


class Load:
    """All relays of one demonstration.

    Args:
        height: the chain's height as last seen, without asking.
        during: called after each relay with the session's number (from 0) and the part of its
            relays that is done (0 to 1); faults are injected there.
    """

    def __init__(
        self,
        options: DemoOptions,
        info: DevnetInfo,
        chain: GatewayChain,
        http: HttpClient,
        *,
        during: Callable[[int, float], None],
    ) -> None:
        self.rows = Rows()
        self._options = options
        self._info = info
        self._chain = chain
        self._during = during
        self._gateway = Gateway(SigningKey(info.gateways[0].secret), http)
        self._dial: Dialer | None = None
        self._key = SigningKey(info.gateways[0].secret)
        self._names = {party.address: party.name for party in info.suppliers}
        self.ways: Counter[str] = Counter()
        """Served relays by the way they went."""

    async def run(self) -> int:
        """Send everything, session after session; the end height of the last session."""
        end_height = 0
        async with dialer() as self._dial:
            for number in range(self._options.sessions):
                sessions = await self._next_sessions(end_height)
                end_height = sessions[0].header.session_end_block_height
                await self._send(number, sessions)
        return end_height

    async def _next_sessions(self, after_height: int) -> list[OpenSession]:
        """The open sessions of all services, once they end later than `after_height`."""
        pairs = [
            (service, application.address)
            for application in self._info.applications
            for service in application.service_ids
        ]
        while True:
            first = await self._chain.session(*pairs[0])
            if first.header.session_end_block_height > after_height:
                break
            await trio.sleep(POLL_SECONDS)
        start = first.header.session_start_block_height
        return [await self._chain.open_session(*pair, height=start) for pair in pairs]

    async def _send(self, number: int, sessions: list[OpenSession]) -> None:
        targets = [(session, supplier) for session in sessions for supplier in session.endpoints]
        if not targets:
            raise DemoError("the chain's sessions have no suppliers")
        for session, supplier in targets:
            self.rows.add(self._row(session, supplier))
        total = len(targets) * self._options.relays_per_row
        work = enumerate(islice(cycle(targets), total))
        async with trio.open_nursery() as nursery:
            for _ in range(self._options.concurrency):
                nursery.start_soon(self._worker, number, total, work)

    def _row(self, session: OpenSession, supplier: str) -> Row:
        return Row(
            supplier=supplier,
            supplier_name=self._names.get(supplier, supplier),
            service_id=session.header.service_id,
            application=session.header.application_address,
            session_id=session.header.session_id,
            session_end_height=session.header.session_end_block_height,
        )

    async def _worker(
        self, number: int, total: int, work: Iterator[tuple[int, tuple[OpenSession, str]]]
    ) -> None:
        for index, (session, supplier) in work:
            way = OTHER_WAYS.get(index % EVERY, JSONRPC)
            if way == JSONRPC or self._dial is None:
                payload = jsonrpc_payload(METHODS[index % len(METHODS)], number=index + 1)
                record = await self._gateway.relay(session, supplier, payload)
            else:
                record = await self._another_way(self._dial, way, session, supplier)
            self.ways[way] += record.ok
            self._count(record)
            self._during(number, (index + 1) / total)
            if not record.ok:
                await trio.sleep(PAUSE_AFTER_FAILURE_SECONDS)

    async def _another_way(
        self, dial: Dialer, way: str, session: OpenSession, supplier: str
    ) -> RelayRecord:
        """One relay over a connection of its own; failures are in the record."""
        mode = MODES[way]
        asking = ask(mode, session, supplier, timeout_seconds=ANSWER_SECONDS)
        payload = payload_of(mode, Question(batches=1))
        signed = sign_relay(session.header, supplier, payload, session.ring, self._key)
        complaint = "no answer"
        try:
            async with aclosing(asking.answers(dial, signed, whole=True)) as answers:
                async for answer in answers:
                    complaint = asking.judge(answer).complaint
        except (GatewayError, ProtocolError) as problem:
            complaint = str(problem)
        return RelayRecord(
            supplier=supplier,
            service_id=session.header.service_id,
            application=session.header.application_address,
            session_id=session.header.session_id,
            session_end_height=session.header.session_end_block_height,
            ok=not complaint,
            error=complaint,
        )

    def _count(self, record: RelayRecord) -> None:
        row = self.rows.get(record.supplier, record.session_id)
        if row is None:
            raise DemoError("an answer for a session that was not asked")
        row.sent += 1
        if record.ok:
            row.served += 1
        elif len(row.failures) < MAX_FAILURES_KEPT:
            row.failures.append(record.error)
