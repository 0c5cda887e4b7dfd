"""Session records: create, read, change, delete, each change one script under a fence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state.errors import StateError, UnreadableValueError
from relayminer.state.fence import Fence, load_guarded, run_guarded
from relayminer.state.gojson import format_time
from relayminer.state.scripting import chunks
from relayminer.state.snapshots import (
    OPTIONAL,
    STATES,
    TERMINAL_STATES,
    Snapshot,
    optional_fields,
    read_legacy_snapshot,
    read_snapshot,
    snapshot_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

CREATE: Final = load_guarded("session_create")
SAVE: Final = load_guarded("session_save")
STATE: Final = load_guarded("session_state")
INCREMENT: Final = load_guarded("session_increment")
DELETE: Final = load_guarded("session_delete")


@attrs.frozen
class StateChange:
    """The state before, and whether it was changed."""

    before: str
    changed: bool


@attrs.frozen
class LoadedSessions:
    """What the index of a supplier leads to.

    Attributes:
        sessions: the records, by session end and id.
        missing: ids whose record ran out.
        unreadable: ids whose record cannot be read, with the reason.
    """

    sessions: list[Snapshot]
    missing: list[str]
    unreadable: dict[str, str]


class SessionStore:
    """Session records of all suppliers."""

    def __init__(
        self,
        redis: Redis,
        names: KeyNames,
        *,
        ttl_seconds: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds
        self._now_ns = now_ns

    async def create_if_absent(self, fence: Fence, snapshot: Snapshot) -> bool:
        """Writes a new record with its index entries; False when there is one already."""
        created = await run_guarded(
            self._redis,
            CREATE,
            fence,
            [
                self._key(snapshot.supplier_operator_address, snapshot.session_id),
                self._names.miner_sessions_index_key(snapshot.supplier_operator_address),
                self._state_key(snapshot.supplier_operator_address, snapshot.state),
            ],
            [
                snapshot.session_id,
                self._ttl_seconds,
                *_flat(snapshot_fields(snapshot, self._now_ns())),
            ],
        )
        return bool(created)

    async def save(self, fence: Fence, snapshot: Snapshot) -> None:
        """Writes the whole record; the counters of an existing one stay what they are.

        Optional fields that are empty in `snapshot` are removed. A record in the old form becomes
        one in the new.
        """
        supplier = snapshot.supplier_operator_address
        empty = [name for name in OPTIONAL if name not in optional_fields(snapshot)]
        await run_guarded(
            self._redis,
            SAVE,
            fence,
            [
                self._key(supplier, snapshot.session_id),
                self._names.miner_sessions_index_key(supplier),
                *self._state_keys(supplier, snapshot.state),
            ],
            [
                snapshot.session_id,
                self._ttl_seconds,
                len(empty),
                *empty,
                *_flat(snapshot_fields(snapshot, self._now_ns())),
            ],
        )

    async def update_state(
        self,
        fence: Fence,
        supplier: str,
        session_id: str,
        state: str,
        *,
        only_from: Collection[str] = (),
        fields: Mapping[str, str | bytes] | None = None,
    ) -> StateChange:
        """Moves a session to `state`, with further fields in the same step.

        Args:
            fence: the right to do so.
            supplier: operator address.
            session_id: which session.
            state: one of `STATES`.
            only_from: change it only from one of these states; empty: from any.
            fields: further fields of the record, such as `claim_tx_hash`.

        Raises:
            SessionMissingError: there is no record.
            LegacySessionError: it has the old form; `load` and `save` it first.
        """
        if state not in STATES:
            raise StateError(f"{state!r} is not a session state")
        allowed = f",{','.join(only_from)}," if only_from else ""
        before, changed = await run_guarded(
            self._redis,
            STATE,
            fence,
            [self._key(supplier, session_id), *self._state_keys(supplier, state)],
            [
                session_id,
                self._ttl_seconds,
                state,
                format_time(self._now_ns()),
                allowed,
                *_flat(fields or {}),
            ],
        )
        return StateChange(before.decode(), bool(changed))

    async def increment(
        self, fence: Fence, supplier: str, session_id: str, *, relays: int, compute_units: int
    ) -> bool:
        """Adds to the counters; False when the session is over. A checkpoint does it by itself.

        Raises SessionMissingError and LegacySessionError as `update_state` does.
        """
        added = await run_guarded(
            self._redis,
            INCREMENT,
            fence,
            [self._key(supplier, session_id)],
            [
                relays,
                compute_units,
                format_time(self._now_ns()),
                self._ttl_seconds,
                f",{','.join(TERMINAL_STATES)},",
            ],
        )
        return bool(added)

    async def delete(self, fence: Fence, supplier: str, session_ids: Iterable[str]) -> None:
        """Removes records and all that names them; also the way to forget missing ones."""
        for session_id in session_ids:
            keys = [self._names.miner_sessions_index_key(supplier)]
            keys += [self._state_key(supplier, state) for state in STATES]
            await run_guarded(
                self._redis, DELETE, fence, [self._key(supplier, session_id), *keys], [session_id]
            )

    async def load(self, supplier: str, session_id: str) -> Snapshot | None:
        """One record, in either form; None when there is none; raises UnreadableValueError."""
        key = self._key(supplier, session_id)
        kind = await self._redis.command("TYPE", key)
        if kind == b"hash":
            return _read(await self._redis.command("HGETALL", key))
        if kind == b"string":
            data = await self._redis.command("GET", key)
            return None if data is None else read_legacy_snapshot(data)
        if kind == b"none":
            return None
        raise UnreadableValueError(f"the session {key} is a {kind.decode()}")

    async def load_all(self, supplier: str) -> LoadedSessions:
        """Every session that the supplier's index names; one bad record does not hide the rest."""
        index = self._names.miner_sessions_index_key(supplier)
        members = await self._redis.command("SMEMBERS", index)
        ids = sorted(item.decode(errors="replace") for item in members)
        loaded = LoadedSessions([], [], {})
        for some in chunks(ids, 500):
            kinds = await self._redis.pipeline(
                [("TYPE", self._key(supplier, session_id)) for session_id in some]
            )
            hashes = [i for i, kind in zip(some, kinds, strict=True) if kind == b"hash"]
            others = [i for i, kind in zip(some, kinds, strict=True) if kind != b"hash"]
            replies = await self._redis.pipeline(
                [("HGETALL", self._key(supplier, session_id)) for session_id in hashes]
            )
            for session_id, reply in zip(hashes, replies, strict=True):
                try:
                    snapshot = _read(reply)
                except UnreadableValueError as error:
                    loaded.unreadable[session_id] = str(error)
                else:
                    _keep(loaded, session_id, snapshot)
            for session_id in others:
                try:
                    _keep(loaded, session_id, await self.load(supplier, session_id))
                except UnreadableValueError as error:
                    loaded.unreadable[session_id] = str(error)
        loaded.sessions.sort(key=lambda one: (one.session_end_height, one.session_id))
        return loaded

    def _key(self, supplier: str, session_id: str) -> str:
        return self._names.miner_session_key(supplier, session_id)

    def _state_key(self, supplier: str, state: str) -> str:
        return self._names.miner_session_state_index_key(supplier, state)

    def _state_keys(self, supplier: str, first: str) -> list[str]:
        """The state indexes of a supplier, that of `first` before the others."""
        others = [state for state in STATES if state != first]
        return [self._state_key(supplier, state) for state in (first, *others)]


def _flat(fields: Mapping[str, str | bytes]) -> list[str | bytes]:
    return [word for pair in fields.items() for word in pair]


def _read(reply: list[Any]) -> Snapshot | None:
    """A snapshot from HGETALL's reply; None when the record ran out meanwhile."""
    return read_snapshot(dict(zip(reply[::2], reply[1::2], strict=True))) if reply else None


def _keep(loaded: LoadedSessions, session_id: str, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        loaded.missing.append(session_id)
    else:
        loaded.sessions.append(snapshot)
