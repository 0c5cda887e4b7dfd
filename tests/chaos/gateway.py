"""Signed load that remembers of every single relay what became of it."""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from relayminer.demo.rows import Row, Rows
from relayminer.devnet.errors import DevnetError
from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient, _Connection
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.relays import jsonrpc_payload
from relayminer.protocol.codec import decode
from relayminer.protocol.pb.service_pb2 import RelayRequest
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from relayminer.devnet.http_message import HttpResponse
    from relayminer.devnet.info import DevnetInfo
    from relayminer.gateway.chain import GatewayChain, OpenSession
    from tests.chaos.chain import ChainControl
    from tests.chaos.plan import ChaosOptions

TIMEOUT_SECONDS = 20.0
NOT_WAITED_FOR = "not waited for"
"""A relay that was on its way when the load ended."""
POLL_SECONDS = 0.15
SERVER_ERROR = 500


class Fate(Enum):
    """What the client knows of a relay."""

    ANSWERED = "answered"
    BROKEN = "broken"
    """No answer, or one of 5xx: it may have been logged all the same."""
    REFUSED = "refused"
    """An answer of 4xx: not served."""


@frozen
class Sent:
    """One relay that was sent."""

    supplier: str
    session_id: str
    fate: Fate
    error: str


class OneShotClient(HttpClient):
    """Sends each request once: what a relay's connection breaks over may have been served."""

    async def _exchange(self, server: tuple[str, int], data: bytes) -> HttpResponse:
        idle = self._idle.get(server)
        if idle:
            return await self._use(server, idle.pop(), data)
        stream = await trio.open_tcp_stream(*server)
        return await self._use(server, _Connection(stream), data)


class NotingGateway(Gateway):
    """A gateway that notes the HTTP status of each answer."""

    def __init__(self, key: SigningKey, http: HttpClient) -> None:
        super().__init__(key, http, timeout_seconds=TIMEOUT_SECONDS)
        self.statuses: dict[bytes, int] = {}

    async def _post(self, url: str, signed: bytes) -> HttpResponse:
        answer = await super()._post(url, signed)
        self.statuses[sha256(signed).digest()] = answer.status
        return answer


@define
class Load:
    """Workers that send fresh relays to any of the relayers.

    Attributes:
        rows: one for every supplier and session that was used.
        sent: every relay by its ring signature.
    """

    options: ChaosOptions
    info: DevnetInfo
    chain: GatewayChain
    control: ChainControl
    urls: Sequence[str]
    rng: random.Random
    rows: Rows = field(factory=Rows)
    sent: dict[bytes, Sent] = field(factory=dict)
    last_end_height: int = 0
    answered: int = 0
    _sessions: list[OpenSession] = field(factory=list)

    async def run(self) -> None:
        """Send until cancelled."""
        async with OneShotClient() as http, trio.open_nursery() as nursery:
            gateway = NotingGateway(SigningKey(self.info.gateways[0].secret), http)
            nursery.start_soon(self._watch_sessions)
            for _ in range(self.options.workers):
                nursery.start_soon(self._worker, gateway)

    async def _watch_sessions(self) -> None:
        """Keep the sessions that are open now."""
        pairs = [
            (service, application.address)
            for application in self.info.applications
            for service in application.service_ids
        ]
        while True:
            try:
                height = await self.control.height()
                known = self._sessions
                if not known or height > known[0].header.session_end_block_height:
                    self._sessions = []
                    found = [await self.chain.open_session(*pair) for pair in pairs]
                    if len({one.header.session_end_block_height for one in found}) == 1:
                        self._sessions = found
            except (
                DevnetError,
                GatewayError,
                OSError,
                trio.BrokenResourceError,
                trio.TooSlowError,
            ):
                pass
            await trio.sleep(POLL_SECONDS)

    async def _worker(self, gateway: NotingGateway) -> None:
        number = 0
        while True:
            await trio.sleep(self.options.pause_seconds * self.rng.uniform(0.5, 1.5))
            if self._sessions:
                number += 1
                await self._relay(gateway, number)

    async def _relay(self, gateway: NotingGateway, number: int) -> None:
        session = self.rng.choice(self._sessions)
        supplier = self.rng.choice(list(session.endpoints))
        url = self.rng.choice(self.urls)
        row = self._row(session, supplier)
        signed = gateway.sign(session, supplier, jsonrpc_payload(number=number))
        # Counted before it is sent: a relay that nobody waits for any more may be served.
        key = bytes(decode(RelayRequest, signed).meta.signature)
        self.sent[key] = Sent(supplier, row.session_id, Fate.BROKEN, NOT_WAITED_FOR)
        record = await gateway.send(session, supplier, signed, url=url)
        status = gateway.statuses.pop(sha256(signed).digest(), SERVER_ERROR)
        fate = Fate.BROKEN if status >= SERVER_ERROR else Fate.REFUSED
        if record.ok:
            fate = Fate.ANSWERED
            self.answered += 1
        self.sent[key] = Sent(supplier, row.session_id, fate, record.error)
        row.sent += 1
        row.served += record.ok

    def _row(self, session: OpenSession, supplier: str) -> Row:
        header = session.header
        row = self.rows.get(supplier, header.session_id)
        if row is None:
            names = {party.address: party.name for party in self.info.suppliers}
            row = Row(
                supplier=supplier,
                supplier_name=names.get(supplier, supplier),
                service_id=header.service_id,
                application=header.application_address,
                session_id=header.session_id,
                session_end_height=header.session_end_block_height,
            )
            self.rows.add(row)
            self.last_end_height = max(self.last_end_height, row.session_end_height)
        return row
