"""A conversation of simulated relays: signed by us, answered by the backend, written nowhere.

The handshake's `Pocket-Simulation-Key-Id` decides once for the whole connection; every message is
admitted by itself (relayer.md 11). A place among `simulation.max_concurrent` is held while a
message is admitted and handed to the backend.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from relayminer.relayer.bridge import INTERNAL_ERROR, VALIDATION_FAILED, Accepted, OpenBridge
from relayminer.relayer.simulate import CLOSE_TRY_AGAIN, VERIFY_FAILED, SimulationRefusedError

if TYPE_CHECKING:
    from relayminer.relayer.errors import RefusedError
    from relayminer.relayer.relay import Relay
    from relayminer.relayer.simulate import Simulator

_SIGNING_ERROR: Final = "signing_error"


class SimulatedBridge(OpenBridge):
    """What a transport gets for a simulated conversation.

    Args:
        simulator: admits the messages.
        key_id: as the handshake named it.
        more: as of `OpenBridge`.
    """

    def __init__(self, simulator: Simulator, key_id: str, *more: Any) -> None:
        super().__init__(*more)
        # Simulated relays have a limit of their own.
        self._turns = None
        self._simulator = simulator
        self._key_id = key_id
        self._slot = ExitStack()
        self._asked: Relay | None = None

    def delivered(self) -> None:
        """As `OpenBridge.delivered`."""
        self._slot.close()

    def undelivered(self) -> None:
        """As `OpenBridge.undelivered`."""
        self._slot.close()
        self._count("backend_error")
        super().undelivered()

    def close(self) -> None:
        """As `OpenBridge.close`."""
        self._slot.close()
        super().close()

    def _count_request(self, message: bytes) -> None:
        """Ordinary counters do not move."""

    async def _accept(self, message: bytes) -> Accepted:
        self._asked = None
        relay = self._stages.admission.decode_message(message, self._route, self._headers)
        self._asked = relay
        self._slot.enter_context(self._simulator.slot())
        try:
            self._check_same(relay)
            await self._simulator.admit(relay.request, self._key_id)
        except BaseException:
            self._slot.close()
            raise
        return Accepted(relay, None)

    async def _emit(self, latest: Accepted, message: bytes) -> bytes:
        answered = self._answered()
        self._asked = (answered or latest).relay
        body, _ = self._sign(self._asked, message)
        if answered is not None:
            self._count("success")
        return body

    def _trace_refused(self, message: bytes, refusal: RefusedError) -> None:
        """Simulated relays are not traced."""

    def _refused(self, refusal: RefusedError) -> None:
        if isinstance(refusal, SimulationRefusedError):
            self._count(refusal.result)
            again = refusal.close_code == CLOSE_TRY_AGAIN
            self.end(refusal.close_code, refusal.detail if again else "simulation rejected")
        elif refusal.reason == _SIGNING_ERROR:
            self._count("sign_failed")
            self.end(INTERNAL_ERROR, str(refusal))
        else:
            self._count(VERIFY_FAILED)
            self.end(VALIDATION_FAILED, "simulation rejected")

    def _count(self, result: str) -> None:
        asked = self._asked
        request = None if asked is None else asked.request
        self._simulator.count(self._route.rpc_type, request, result)
