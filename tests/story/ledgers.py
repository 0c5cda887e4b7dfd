"""A ledger as a miner writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relayminer.state.ledger import Ledger

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

SUPPLIER, OTHER = "pokt1supplier", "pokt1other"
APPLICATION = "pokt1application"
MOMENT = 1_795_225_000


class Writer:
    """Writes entries of one supplier."""

    def __init__(self, redis: Redis, names: KeyNames, supplier: str = SUPPLIER) -> None:
        self._redis = redis
        self._names = names
        self._ledger = Ledger(redis, names)
        self._supplier = supplier
        self._count = 0

    async def write(
        self, step: str, session: str, end: int, *, moment: int = MOMENT, **fields: Any
    ) -> None:
        """One entry; `session` is the id, or empty for an event that does not name it."""
        self._count += 1
        value = {
            "step": step,
            "session_id": session or f"svc/{APPLICATION}",
            "unix_seconds": moment,
            "service_id": "svc",
            "application_address": APPLICATION,
            "session_start_height": end - 9 if session else 0,
            "session_end_height": end,
            **fields,
        }
        record = (f"{step}:{session}:{self._count}", json.dumps(value).encode())
        await self._ledger.append(self._supplier, [record])
        await self._redis.command("HSET", self._names.settled_heights_key, self._supplier, end)

    async def settled_session(self, session: str, end: int) -> None:
        """A session that went well."""
        await self.write("served", session, end, relays=12)
        await self.write("metered", session, end, consumed_upokt=1300, budget_upokt=9000)
        await self.write("mined", session, end, relays=12, compute_units=120, root="ab" * 48)
        await self.write("claim_intent", session, end, height=end + 2)
        await self.write("claim_submitted", session, end, height=end + 2, fee_upokt=3, tx_hash="C1")
        await self.write("claim_included", session, end, height=end + 3, tx_hash="C1")
        await self.write("proof_intent", session, end, height=end + 6, submission_fee_upokt=1000)
        await self.write("proof_submitted", session, end, height=end + 6, fee_upokt=5, tx_hash="P1")
        await self.write("proof_validated", session, end, height=end + 7, tx_hash="P1")
        await self.write(
            "settled",
            session,
            end,
            height=end + 9,
            relays=12,
            claimed_upokt=5000,
            settled_upokt=4600,
            earned_upokt=4000,
            overservicing_loss_upokt=300,
            deflation_loss_upokt=100,
        )
