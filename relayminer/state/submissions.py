"""Submission records: what was sent to the chain for a session, for people to read (1.5.6)."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state import gojson
from relayminer.state.errors import StateError, UnreadableValueError
from relayminer.state.scripting import load_script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

COMPARE_AND_SET: Final = load_script("compare_and_set")
MAX_ATTEMPTS: Final = 20

ON_CHAIN_FOUND: Final = "on_chain_found"
ON_CHAIN_MISSING: Final = "on_chain_missing"
POLL_ERROR: Final = "poll_error"

_OMITTED_WHEN_EMPTY: Final = frozenset(
    {
        "claim_error_reason",
        "claim_on_chain_outcome",
        "claim_inclusion_height",
        "proof_hash",
        "proof_tx_hash",
        "proof_error_reason",
        "proof_submit_height",
        "proof_submit_timestamp",
        "proof_submit_time_utc",
        "proof_current_height",
        "proof_on_chain_outcome",
        "proof_inclusion_height",
        "proof_rebroadcasts",
        "proof_requirement_seed",
    }
)


@attrs.frozen(kw_only=True)
class Submission:
    """The record of one session; the fields' order is the stored one.

    Attributes:
        claim_hash: hex of the claimed root.
        claim_success: the mempool took it, no more.
        claim_submit_timestamp: seconds since 1970.
        proof_hash: hex of the proof.
        proof_requirement_seed: hex of the block hash that decided whether a proof is needed.
    """

    supplier: str
    service: str = ""
    application: str = ""
    session_id: str
    session_start: int = 0
    session_end: int
    claim_hash: str = ""
    claim_tx_hash: str = ""
    claim_success: bool = False
    claim_error_reason: str = ""
    claim_submit_height: int = 0
    claim_submit_timestamp: int = 0
    claim_submit_time_utc: str = ""
    claim_current_height: int = 0
    claim_on_chain_outcome: str = ""
    claim_inclusion_height: int = 0
    proof_hash: str = ""
    proof_tx_hash: str = ""
    proof_success: bool = False
    proof_error_reason: str = ""
    proof_submit_height: int = 0
    proof_submit_timestamp: int = 0
    proof_submit_time_utc: str = ""
    proof_current_height: int = 0
    proof_on_chain_outcome: str = ""
    proof_inclusion_height: int = 0
    proof_rebroadcasts: int = 0
    num_relays: int = 0
    compute_units: int = 0
    proof_required: bool = False
    proof_requirement_seed: str = ""


def submission_json(record: Submission) -> bytes:
    """The stored form."""
    values = attrs.asdict(record)
    return gojson.dumps(
        {name: value for name, value in values.items() if value or name not in _OMITTED_WHEN_EMPTY}
    )


def parse_submission(data: bytes) -> Submission:
    """From the stored form; raises UnreadableValueError."""
    values = gojson.loads_object(data)
    arguments: dict[str, Any] = {}
    try:
        for field in attrs.fields(Submission):
            value = values.get(field.name)
            if value is not None:
                arguments[field.name] = _TYPES[str(field.type)](value)
        return Submission(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a submission record: {error}") from error


_TYPES: Final[Mapping[str, type]] = {"str": str, "int": int, "bool": bool}


class SubmissionStore:
    """Submission records of all sessions."""

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        ttl_seconds: int,
        now_seconds: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds
        self._now_seconds = now_seconds

    async def track_claim(self, record: Submission) -> None:
        """Writes what was sent as a claim; an older record of the session is replaced."""
        seconds, text = self._moment()
        stamped = attrs.evolve(record, claim_submit_timestamp=seconds, claim_submit_time_utc=text)
        key = self._names.tx_track_key(record.supplier, record.session_end, record.session_id)
        words = ("EX", self._ttl_seconds) if self._ttl_seconds else ()
        await self._redis.command("SET", key, submission_json(stamped), *words)

    async def track_proof(
        self, supplier: str, session_end: int, session_id: str, **changes: Any
    ) -> None:
        """Adds what was sent as a proof to the session's record, made if it is not there.

        Args:
            supplier: operator address.
            session_end: last block of the session.
            session_id: which session.
            **changes: fields of `Submission` that begin with `proof_`.
        """
        seconds, text = self._moment()
        stamp = {"proof_submit_timestamp": seconds, "proof_submit_time_utc": text}
        blank = Submission(supplier=supplier, session_end=session_end, session_id=session_id)
        await self._change(supplier, session_end, session_id, stamp | changes, blank)

    async def set_outcome(
        self, supplier: str, session_end: int, session_id: str, **changes: Any
    ) -> None:
        """Notes what became of a claim or proof on chain; nothing happens without a record."""
        await self._change(supplier, session_end, session_id, changes, None)

    async def load(self, supplier: str, session_end: int, session_id: str) -> Submission | None:
        """A session's record; raises UnreadableValueError."""
        key = self._names.tx_track_key(supplier, session_end, session_id)
        data = await self._redis.command("GET", key)
        return None if data is None else parse_submission(data)

    async def all(self, supplier: str | None = None) -> list[Submission]:
        """Every readable record, of one supplier or of all, the newest sessions first."""
        names = self._names
        pattern = (
            names.tx_track_all_pattern if supplier is None else names.tx_track_pattern(supplier)
        )
        records: dict[bytes, Submission] = {}
        async with aclosing(self._redis.scan(pattern)) as pages:
            async for keys in pages:
                for key, data in zip(keys, await self._redis.get_many(keys), strict=True):
                    if data is not None and (record := _readable(data)) is not None:
                        records[key] = record
        return sorted(
            records.values(),
            key=lambda one: (-one.session_start, -one.claim_submit_timestamp, one.session_id),
        )

    async def _change(
        self,
        supplier: str,
        session_end: int,
        session_id: str,
        changes: Mapping[str, Any],
        blank: Submission | None,
    ) -> None:
        key = self._names.tx_track_key(supplier, session_end, session_id)
        for _ in range(MAX_ATTEMPTS):
            data: bytes | None = await self._redis.command("GET", key)
            record = blank if data is None else parse_submission(data)
            if record is None:
                return
            changed = submission_json(attrs.evolve(record, **changes))
            if await self._redis.script(
                COMPARE_AND_SET, (key,), (data or b"", changed, self._ttl_seconds)
            ):
                return
        raise StateError(f"{key} is changed by others all the time")

    def _moment(self) -> tuple[int, str]:
        seconds = int(self._now_seconds())
        return seconds, gojson.format_time(seconds * gojson.NANOSECONDS)


def _readable(data: bytes) -> Submission | None:
    try:
        return parse_submission(data)
    except UnreadableValueError:
        return None
