"""Messages that must be seen on chain, and are sent again until they are (state 1.5.7)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.state import gojson
from relayminer.state.errors import UnreadableValueError
from relayminer.state.fence import Fence, load_guarded, run_guarded
from relayminer.state.scripting import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

PUT: Final = load_guarded("rebroadcast_put")
DELETE: Final = load_guarded("rebroadcast_delete")
TTL_SECONDS: Final = 3600


@attrs.frozen(kw_only=True)
class Rebroadcast:
    """One message and its history.

    Attributes:
        message: protobuf of MsgCreateClaim or MsgSubmitProof.
        submit_height: block height when it was first sent.
        tx_hash: the latest transaction.
        original_tx_hash: the first one; empty when no broadcast has succeeded yet.
        resends: how often it was sent again.
    """

    message: bytes = attrs.field(repr=False)
    submit_height: int
    tx_hash: str = ""
    original_tx_hash: str = ""
    service_id: str = ""
    resends: int = 0


def rebroadcast_json(entry: Rebroadcast) -> bytes:
    """The stored form."""
    value: dict[str, Any] = {
        "m": base64.b64encode(entry.message).decode(),
        "h": entry.submit_height,
        "t": entry.tx_hash,
    }
    rest = {"o": entry.original_tx_hash, "s": entry.service_id, "n": entry.resends}
    value |= {name: item for name, item in rest.items() if item}
    return gojson.dumps(value)


def parse_rebroadcast(data: bytes) -> Rebroadcast:
    """From the stored form; raises UnreadableValueError."""
    value = gojson.loads_object(data)
    try:
        return Rebroadcast(
            message=base64.b64decode(value.get("m") or ""),
            submit_height=int(value.get("h") or 0),
            tx_hash=str(value.get("t") or ""),
            original_tx_hash=str(value.get("o") or ""),
            service_id=str(value.get("s") or ""),
            resends=int(value.get("n") or 0),
        )
    except (TypeError, ValueError) as error:
        raise UnreadableValueError(f"not a rebroadcast entry: {error}") from error


@attrs.frozen
class Group:
    """Messages are kept by supplier and session end."""

    supplier: str
    session_end_height: int

    @property
    def member(self) -> str:
        """Its name in the index."""
        return f"{self.supplier}:{self.session_end_height}"


class RebroadcastStore:
    """Messages of both phases (`names.CLAIM_PHASE`, `names.PROOF_PHASE`)."""

    def __init__(self, redis: Redis, names: KeyNames, *, ttl_seconds: int = TTL_SECONDS) -> None:
        self._redis = redis
        self._names = names
        self._ttl_seconds = ttl_seconds

    async def put(
        self, fence: Fence, phase: str, group: Group, session_id: str, entry: Rebroadcast
    ) -> None:
        """Notes a message, or what has become of it."""
        await run_guarded(
            self._redis,
            PUT,
            fence,
            self._keys(phase, group),
            [session_id, rebroadcast_json(entry), group.member, self._ttl_seconds],
        )

    async def delete(
        self, fence: Fence, phase: str, group: Group, session_ids: Sequence[str]
    ) -> None:
        """Forgets messages; with no session id it only cleans the index."""
        for some in list(chunks(session_ids)) or [()]:
            await run_guarded(
                self._redis, DELETE, fence, self._keys(phase, group), [group.member, *some]
            )

    async def groups(self, phase: str, supplier: str = "") -> list[Group]:
        """Every group of the phase's index; a name of another form is left out.

        With hash tags each supplier has an index of its own: `supplier` says whose.
        """
        index = self._names.rebroadcast_index_key(phase, supplier)
        members = await self._redis.command("SMEMBERS", index)
        groups = []
        for member in sorted(members):
            # An address has no colon; the Go reader splits at the last one all the same.
            supplier, _, height = member.decode(errors="replace").rpartition(":")
            if supplier and height.isdecimal():
                groups.append(Group(supplier, int(height)))
        return groups

    async def load(self, phase: str, group: Group) -> tuple[dict[str, Rebroadcast], list[str]]:
        """The group's messages by session id, and the ids of those that cannot be read."""
        reply = await self._redis.command("HGETALL", self._keys(phase, group)[0])
        entries: dict[str, Rebroadcast] = {}
        unreadable: list[str] = []
        for name, data in zip(reply[::2], reply[1::2], strict=True):
            try:
                entries[name.decode()] = parse_rebroadcast(data)
            except (UnicodeDecodeError, UnreadableValueError):
                unreadable.append(name.decode(errors="replace"))
        return entries, unreadable

    def _keys(self, phase: str, group: Group) -> list[str]:
        names = self._names
        return [
            names.rebroadcast_key(phase, group.supplier, group.session_end_height),
            names.rebroadcast_index_key(phase, group.supplier),
        ]
