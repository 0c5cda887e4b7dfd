"""A gateway on the devnet's own HTTP client: signs relays, sends them, checks what comes back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen

from relayminer.devnet.errors import DevnetError
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.relays import (
    EXCERPT_CHARACTERS,
    jsonrpc_payload,
    key_check,
    opened,
    sign_relay,
)
from relayminer.protocol.codec import decode
from relayminer.protocol.errors import ProtocolError
from relayminer.protocol.pb import http_pb2, shared_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from relayminer.devnet.http_client import HttpClient
    from relayminer.devnet.http_message import HttpResponse
    from relayminer.gateway.chain import Endpoint, OpenSession
    from relayminer.protocol.signature import SigningKey

HTTP_OK = 200
HTTP_ERROR = 400
RPC_TYPE_HEADER = "Rpc-Type"


@frozen(kw_only=True)
class RelayRecord:
    """What became of one relay.

    Attributes:
        ok: answered, and every check passed.
        error: why not, empty when ok.
        status: HTTP status of the backend as the payload tells it; 0 without a valid answer.
        body: the backend's body.
        latency_seconds: from sending to the checked answer, without signing.
    """

    supplier: str
    service_id: str
    application: str
    session_id: str
    session_end_height: int
    ok: bool
    error: str = ""
    status: int = 0
    body: bytes = field(default=b"", repr=False)
    latency_seconds: float = 0.0


class Gateway:
    """A gateway, or an application that serves itself.

    Args:
        key: a member of the rings of the sessions it is used with.
        http: connections to relayers.
        clock: seconds, rising; measures latency.
        timeout_seconds: for one relay.
    """

    def __init__(
        self,
        key: SigningKey,
        http: HttpClient,
        *,
        clock: Callable[[], float] = trio.current_time,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._key = key
        self._http = http
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def sign(self, session: OpenSession, supplier: str, payload: bytes) -> bytes:
        """The bytes of a fresh `RelayRequest` to `supplier`, ring signature included."""
        return sign_relay(session.header, supplier, payload, session.ring, self._key)

    async def relay(
        self, session: OpenSession, supplier: str, payload: bytes, *, url: str = ""
    ) -> RelayRecord:
        """Sign, send and check one relay; failures are in the record, never raised.

        Args:
            session: the session to send it in.
            supplier: operator address of one of the session's suppliers.
            payload: serialized `POKTHTTPRequest`.
            url: where to, instead of the supplier's staked endpoint.
        """
        return await self.send(session, supplier, self.sign(session, supplier, payload), url=url)

    async def send(
        self, session: OpenSession, supplier: str, signed: bytes, *, url: str = ""
    ) -> RelayRecord:
        """Send an already signed relay and check the answer; failures are in the record."""
        started = self._clock()
        error, status, body = "", 0, b""
        try:
            status, body = await self._exchange(session, supplier, signed, url)
            if status >= HTTP_ERROR:
                error = f"backend answered {status}"
        except (DevnetError, GatewayError, ProtocolError) as problem:
            error = str(problem)
        except trio.TooSlowError:
            error = f"no answer within {self._timeout_seconds} s"
        except (OSError, trio.BrokenResourceError) as problem:
            error = f"relayer not reached: {problem}"
        return RelayRecord(
            supplier=supplier,
            service_id=session.header.service_id,
            application=session.header.application_address,
            session_id=session.header.session_id,
            session_end_height=session.header.session_end_block_height,
            ok=not error,
            error=error,
            status=status,
            body=body,
            latency_seconds=self._clock() - started,
        )

    async def _exchange(
        self, session: OpenSession, supplier: str, signed: bytes, url: str
    ) -> tuple[int, bytes]:
        endpoint = session.endpoints.get(supplier)
        if endpoint is None:
            raise GatewayError(f"{supplier} has no JSON-RPC endpoint in this session")
        return check_answer(await self._post(url or endpoint.url, signed), session, endpoint)

    async def _post(self, url: str, signed: bytes) -> HttpResponse:
        headers = (
            ("Content-Type", "application/json"),
            (RPC_TYPE_HEADER, str(shared_pb2.JSON_RPC)),
        )
        return await self._http.request(
            "POST", url, headers=headers, body=signed, timeout_seconds=self._timeout_seconds
        )

    async def send_many(
        self,
        targets: Sequence[tuple[OpenSession, str]],
        count: int,
        *,
        concurrency: int = 16,
        payload: Callable[[int], bytes] = lambda number: jsonrpc_payload(number=number + 1),
        url: str = "",
    ) -> list[RelayRecord]:
        """Send `count` relays, target by target in turn, `concurrency` at once.

        Args:
            targets: sessions and suppliers; relay i goes to target i modulo their number.
            count: relays in all.
            concurrency: relays in flight.
            payload: the payload of relay i.
            url: where to, instead of the staked endpoints.
        """
        records: list[RelayRecord] = []
        numbers = iter(range(count))

        async def work() -> None:
            for number in numbers:  # shared: every worker takes the next number
                session, supplier = targets[number % len(targets)]
                records.append(await self.relay(session, supplier, payload(number), url=url))

        async with trio.open_nursery() as nursery:
            for _ in range(min(concurrency, count)):
                nursery.start_soon(work)
        return records


def check_answer(
    answer: HttpResponse, session: OpenSession, endpoint: Endpoint
) -> tuple[int, bytes]:
    """Status and body of the backend, once everything about the answer is in order.

    Raises:
        GatewayError: the answer is refused; says why.
        ProtocolError: it does not decode, or is not a valid response.
    """
    if answer.status != HTTP_OK:
        excerpt = answer.body.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
        raise GatewayError(f"HTTP {answer.status}: {excerpt}")
    payload = opened(answer.body, session.header, key_check(endpoint.public_key))
    response = decode(http_pb2.POKTHTTPResponse, payload)
    return response.status_code, response.body_bz


def served(records: Iterable[RelayRecord]) -> Counter[tuple[str, str]]:
    """How many relays were served, by session id and supplier: what must be claimed."""
    return Counter((record.session_id, record.supplier) for record in records if record.ok)
