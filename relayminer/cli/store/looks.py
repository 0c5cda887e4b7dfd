"""Looks at sessions, tries, logs, leases, suppliers, meters, submissions. They change nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import attrs

from relayminer.cli.store.shown import Look
from relayminer.errors import RelayMinerError
from relayminer.state.errors import StoreReplyError, UnreadableValueError
from relayminer.state.meter import parse_meter_meta
from relayminer.state.sessions import SessionStore
from relayminer.state.submissions import SubmissionStore
from relayminer.state.suppliers import SupplierStates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relayminer.cli.reading import Reading
    from relayminer.state.submissions import Submission

SAMPLE_CHARACTERS: Final = 64
OK_SECONDS: Final = 2.0
"""Of a lease that is renewed every second and lives for four."""


class NothingThereError(RelayMinerError):
    """What was asked for by name is not in the store."""


def _words(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _records(reply: Sequence[Any]) -> list[dict[str, Any]]:
    """Flat lists of names and values, as XINFO answers them."""
    return [{_words(row[at]): row[at + 1] for at in range(0, len(row), 2)} for row in reply]


async def sessions(store: Reading, supplier: str, session: str, state: str) -> Look:
    """Session records of a supplier, the newest first."""
    found = (
        await SessionStore(store.redis, store.names, ttl_seconds=1).load_all(supplier)
    ).sessions
    chosen = [
        one
        for one in sorted(found, key=lambda one: -one.session_end_height)
        if one.session_id.startswith(session) and state in {"", one.state}
    ]
    if session and not chosen:
        raise NothingThereError(f"{supplier} has no session {session}")
    rows = [
        attrs.asdict(one) | {"claimed_root_hash": one.claimed_root_hash.hex()} for one in chosen
    ]
    columns = (
        *("session_id", "state", "service_id", "relay_count", "total_compute_units"),
        *("session_start_height", "session_end_height"),
    )
    return Look("sessions", rows, columns)


async def tries(store: Reading, session: str, limit: int) -> Look:
    """The stored nodes of a session's tries, with some of them."""
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    async for keys in store.redis.scan(store.names.smst_session_nodes_pattern(session)):
        for key in keys:
            _, reply = await store.redis.command("HSCAN", key, "0", "COUNT", max(1, limit))
            count = await store.redis.command("HLEN", key)
            rows.append({"key": _words(key), "nodes": int(count)})
            samples.extend(
                {"node": reply[at].hex()[:SAMPLE_CHARACTERS], "bytes": len(reply[at + 1])}
                for at in range(0, min(len(reply), limit * 2), 2)
            )
    return Look("tries", rows, more=(Look("samples", samples),) if samples else ())


async def streams(store: Reading, suppliers: Sequence[str], limit: int) -> Look:
    """Relay logs: how long, who reads them, the newest entries."""
    chosen = suppliers or await _known_suppliers(store)
    rows: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    newest: list[dict[str, Any]] = []
    for supplier in chosen:
        key = store.names.stream_key(supplier)
        rows.append({"supplier": supplier, "entries": int(await store.redis.command("XLEN", key))})
        try:
            groups.extend(
                {
                    "supplier": supplier,
                    "group": _words(group["name"]),
                    "consumers": group["consumers"],
                    "pending": group["pending"],
                    "last_id": _words(group["last-delivered-id"]),
                }
                for group in _records(await store.redis.command("XINFO", "GROUPS", key))
            )
        except StoreReplyError:
            continue
        for entry_id, fields in await store.redis.command(
            "XREVRANGE", key, "+", "-", "COUNT", limit
        ):
            newest.append(
                {
                    "supplier": supplier,
                    "id": _words(entry_id),
                    "bytes": sum(len(part) for part in fields),
                }
            )
    return Look("streams", rows, more=(Look("groups", groups), Look("entries", newest)))


async def dedup(store: Reading, session: str, limit: int) -> Look:
    """The Go fleet's set of counted relays of a session."""
    key = store.names.miner_dedup_session_key(session)
    count, ttl, some = await store.redis.pipeline(
        [("SCARD", key), ("PTTL", key), ("SRANDMEMBER", key, limit)]
    )
    row = {"session": session, "members": int(count), "seconds_to_live": _seconds(ttl)}
    samples = [{"member": member.hex()[:SAMPLE_CHARACTERS]} for member in some]
    note = "our miners need no such set: a leaf's key is the relay's hash"
    return Look("dedup", [row], notes=(note,), more=(Look("samples", samples),))


async def leader(store: Reading) -> Look:
    """Who leads, and for how long at least."""
    key = store.names.global_leader_key
    owner, ttl = await store.redis.pipeline([("GET", key), ("PTTL", key)])
    if owner is None:
        return Look("leader", [], notes=("nobody leads: is a cache-leader running?",))
    left = ttl / 1000
    row = {
        "key": key,
        "holder": _words(owner),
        "seconds_left": round(left, 1),
        "verdict": "healthy" if left >= OK_SECONDS else "about to end",
    }
    return Look("leader", [row])


async def suppliers(store: Reading, supplier: str, *, everything: bool) -> Look:
    """Who mines for whom; with `everything` or one supplier, what the registry says of it."""
    states = SupplierStates(store.redis, store.names)
    if supplier:
        one = await states.get(supplier)
        if one is None:
            raise NothingThereError(f"nothing is registered of {supplier}")
        return Look("suppliers", [attrs.asdict(one, recurse=False)], _STATE_COLUMNS)
    if everything:
        rows = [attrs.asdict(one, recurse=False) for one in await states.all()]
        return Look("suppliers", rows, _STATE_COLUMNS)
    known = await _known_suppliers(store)
    keys = [store.names.miner_claim_key(address) for address in known]
    commands: list[tuple[str, str]] = []
    for key in keys:
        commands += [("GET", key), ("PTTL", key)]
    replies = await store.redis.pipeline(commands)
    rows = [
        {
            "supplier": address,
            "mined_by": _words(replies[2 * at]) if replies[2 * at] else "nobody",
            "seconds_left": _seconds(replies[2 * at + 1]),
        }
        for at, address in enumerate(known)
    ]
    return Look("claims", rows, more=(_shares(rows),))


_STATE_COLUMNS: Final = (
    *("operator_address", "status", "staked", "services", "owner_address", "last_updated"),
    "updated_by",
)


def _shares(rows: Sequence[dict[str, Any]]) -> Look:
    """How the suppliers are shared out."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["mined_by"]] = counts.get(row["mined_by"], 0) + 1
    miners = [name for name in counts if name != "nobody"]
    low = len(rows) // max(1, len(miners))
    high = -(-len(rows) // max(1, len(miners)))
    shares = []
    for name, count in sorted(counts.items()):
        verdict = "balanced" if low <= count <= high else "over" if count > high else "under"
        shares.append(
            {
                "miner": name,
                "suppliers": count,
                "fair_share": f"{low}..{high}",
                "verdict": verdict if name in miners else "not mined",
            }
        )
    return Look("shares", shares)


async def meters(store: Reading, session: str, application: str, service: str) -> Look:
    """Budgets of sessions, and what was spent of them."""
    rows: list[dict[str, Any]] = []
    pattern = store.names.meter_meta_key(session or "*", "*")
    async for keys in store.redis.scan(pattern):
        for key, data in zip(keys, await store.redis.get_many(keys), strict=True):
            if data is None:
                continue
            try:
                meta = parse_meter_meta(data)
            except UnreadableValueError:
                rows.append({"session": _words(key), "service": "(unreadable)"})
                continue
            if application not in {"", meta.app_address} or service not in {"", meta.service_id}:
                continue
            used = store.names.meter_consumed_key(meta.session_id, meta.supplier_address)
            consumed = int(await store.redis.command("GET", used) or 0)
            rows.append(
                {
                    "session": meta.session_id,
                    "application": meta.app_address,
                    "service": meta.service_id,
                    "supplier": meta.supplier_address,
                    "consumed_upokt": consumed,
                    "budget_upokt": meta.max_stake_upokt,
                    "session_end_height": meta.session_end_height,
                }
            )
    return Look("meters", rows)


async def submissions(
    store: Reading, supplier: str, wanted: dict[str, str], outcome: str, limit: int
) -> Look:
    """Claims and proofs that were sent, the newest session first."""
    records = SubmissionStore(store.redis, store.names, ttl_seconds=0)
    found = [
        one
        for one in await records.all(supplier or None)
        if all(value in {"", getattr(one, name)} for name, value in wanted.items())
        and outcome in {"", _outcome(one)}
    ]
    if wanted.get("session_id") and not found:
        raise NothingThereError(f"nothing was submitted for session {wanted['session_id']}")
    found.sort(key=lambda one: -one.session_end)
    rows = [attrs.asdict(one) | {"outcome": _outcome(one)} for one in found]
    columns = (
        *("session_end", "session_id", "supplier", "service", "num_relays", "outcome"),
        *("claim_tx_hash", "proof_required", "proof_tx_hash"),
    )
    return Look("submissions", rows[: limit or None], columns, notes=(f"{len(found)} in all",))


def _outcome(one: Submission) -> str:
    """A session whose proof was not wanted has not failed for having none."""
    proved = one.proof_success or (one.claim_success and not one.proof_required)
    return "success" if one.claim_success and proved else "failed"


async def keys(store: Reading, pattern: str, limit: int, *, stats: bool) -> Look:
    """Keys that fit a pattern, on every server."""
    found: list[bytes] = []
    async for some in store.redis.scan(pattern):
        found.extend(some[: max(0, limit - len(found))] if limit else some)
        if limit and len(found) >= limit:
            break
    rows: list[dict[str, Any]] = [{"key": _words(key)} for key in sorted(found)]
    if stats:
        for row in rows:
            kind, ttl = await store.redis.pipeline([("TYPE", row["key"]), ("PTTL", row["key"])])
            row |= {"type": _words(kind), "seconds_to_live": _seconds(ttl)}
    return Look("keys", rows)


async def _known_suppliers(store: Reading) -> list[str]:
    states = await SupplierStates(store.redis, store.names).all()
    return sorted({one.operator_address for one in states} | set(await store.books.suppliers()))


def _seconds(ttl_ms: int) -> float | str:
    """-1 lives for ever, -2 is not there."""
    if ttl_ms == -1:
        return "for ever"
    return "gone" if ttl_ms < 0 else round(ttl_ms / 1000, 1)


def clock() -> str:
    """The time of day, for messages as they come."""
    return time.strftime("%H:%M:%S")
