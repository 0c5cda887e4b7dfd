"""One supplier of one session as a gateway asks it: where, with what, and what a good answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from relayminer.gateway.batches import batches
from relayminer.gateway.errors import GatewayError
from relayminer.gateway.load import Aim
from relayminer.gateway.modes import STREAM, Mode, destination
from relayminer.gateway.relays import address_check, key_check, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from relayminer.gateway.chain import OpenSession
    from relayminer.gateway.lines import Destination, Line
    from relayminer.gateway.modes import Dialer


@frozen
class Verdict:
    """What an answer is.

    Attributes:
        status: of the backend; 0 when it said none.
        body: of the backend.
        complaint: empty when all is well.
    """

    status: int
    body: bytes = field(repr=False)
    complaint: str = ""


@frozen
class Asking:
    """Relays of one mode to one supplier in one session."""

    mode: Mode
    session: OpenSession
    supplier: str
    to: Destination
    _signed_by: Callable[[bytes, bytes], bool]

    def judge(self, answer: bytes) -> Verdict:
        """Look at a `RelayResponse`.

        Raises:
            GatewayError: it is refused; says why.
            ProtocolError: it does not decode, or is not a valid response.
        """
        payload = opened(answer, self.session.header, self._signed_by)
        return Verdict(*self.mode.judge(payload))

    def aim(self, dial: Dialer) -> Aim:
        """For a load test."""

        async def open_line() -> Line:
            return await dial.open(self.mode, self.to)

        return Aim(
            supplier=self.supplier,
            open=open_line,
            judge=lambda answer: self.judge(answer).complaint,
        )

    async def answers(
        self, dial: Dialer, signed: bytes, *, whole: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of the answer, or of each batch of a stream; see `batches`.

        Raises:
            GatewayError: there is none.
        """
        if self.mode.name == STREAM:
            line = await dial.open_http(self.to)
            try:
                async for batch in batches(line, signed, whole=whole):
                    yield batch
            finally:
                line.close()
        else:
            one = await dial.open(self.mode, self.to)
            try:
                yield await one.ask(signed)
            finally:
                one.close()


def ask(
    mode: Mode,
    session: OpenSession,
    supplier: str,
    *,
    url: str = "",
    simulation_key_id: str = "",
    timeout_seconds: float = 30.0,
) -> Asking:
    """How to ask a supplier.

    Raises:
        GatewayError: it is not in the session.
    """
    endpoint = session.endpoints.get(supplier)
    if endpoint is None:
        there = ", ".join(session.endpoints) or "nobody"
        raise GatewayError(f"{supplier or 'no supplier'} has no endpoint in this session: {there}")
    to = destination(
        mode,
        url or endpoint.url_for(mode.rpc_type),
        service=session.header.service_id,
        application=session.header.application_address,
        supplier=supplier,
        simulation_key_id=simulation_key_id,
        timeout_seconds=timeout_seconds,
    )
    known = endpoint.public_key
    signed_by = key_check(known) if known else address_check(supplier)
    return Asking(mode, session, supplier, to, signed_by)
