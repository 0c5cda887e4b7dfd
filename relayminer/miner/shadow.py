"""A shadow miner: builds everything beside a running fleet, sends nothing, and compares.

It works on keys of its own (the fleet's base prefix with `-shadow` behind it), so leases, sessions,
tries and the ledger of the two never meet. Its logs are copies of the fleet's
(`relayminer.state.copied_logs`). When a claim window is over, the claims that the fleet has on
chain are compared with the roots that the shadow would have claimed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from relayminer.errors import RelayMinerError
from relayminer.miner.lifecycle import SessionState
from relayminer.miner.records import Step, record
from relayminer.smst import root_count, root_sum
from relayminer.state.copied_logs import CopiedLogs
from relayminer.state.errors import StateError, StoreReplyError
from relayminer.state.names import KeyNames

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from google.protobuf.message import Message

    from relayminer.miner.context import SupplierContext
    from relayminer.miner.interfaces import BlockSource, Submitted
    from relayminer.miner.sessions import Session
    from relayminer.protocol.pb.proof_pb2 import Claim
    from relayminer.protocol.signature import SigningKey
    from relayminer.state.connection import DedicatedConnection
    from relayminer.state.copied_logs import Copied
    from relayminer.state.gateway import Redis
    from relayminer.telemetry.metrics import Counter, Metrics

SUFFIX: Final = "-shadow"
READERS: Final = 3
"""While one copies, another waits: entries may come and go at any moment."""
COUNT: Final = 500
BLOCK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5

_log = structlog.get_logger("relayminer.miner.shadow")


class ShadowError(RelayMinerError):
    """A shadow was asked for what it cannot do."""


def shadow_names(theirs: KeyNames) -> KeyNames:
    """The shadow's names beside those of the fleet."""
    namespace = attrs.evolve(theirs.namespace, base_prefix=theirs.namespace.base_prefix + SUFFIX)
    return KeyNames(namespace, theirs.hash_tags)


class Silence:
    """The transactions of a shadow: there are none."""

    async def submit(
        self, messages: Sequence[Message], key: SigningKey, lifetime_seconds: float
    ) -> Submitted:
        """Raises ShadowError: a shadow that sends is a second fleet."""
        del lifetime_seconds
        await trio.lowlevel.checkpoint()
        raise ShadowError(f"a shadow sends nothing ({len(messages)} messages of {key.address})")


class Verdict(StrEnum):
    """How the fleet's claim compares with ours."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_CLAIMED = "not_claimed"
    """The fleet has no claim on chain; ours would not be empty."""
    UNSEEN = "unseen"
    """The fleet has a claim of a session of which we saw no relay."""
    PARTIAL = "partial"
    """The session had begun before we looked, and the roots differ."""


class ShadowTee:
    """A service that copies the fleet's logs for as long as it runs.

    Args:
        redis: the running gateway.
        theirs: the fleet's names.
        suppliers: whose logs, asked again and again.
        blocks: tells the height at which copying begins.
        metrics: where is shown what was copied.
    """

    name = "shadow"

    def __init__(
        self,
        redis: Redis,
        theirs: KeyNames,
        suppliers: Callable[[], Collection[str]],
        blocks: BlockSource,
        metrics: Metrics,
    ) -> None:
        self._redis = redis
        self._logs = CopiedLogs(redis, theirs, shadow_names(theirs))
        self._suppliers = suppliers
        self._blocks = blocks
        self._begun: set[str] = set()
        self._copied: Counter = metrics.counter(
            "relayminer_shadow_entries_copied", "Log entries of the fleet that were copied."
        ).bind()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Copy until cancelled.

        Raises:
            ShadowError: the store is a cluster, where one reader cannot wait for many logs.
        """
        if self._redis.is_cluster:
            raise ShadowError("miner.shadow needs a store that is no cluster: read from a replica")
        _log.warning("shadow: nothing is sent to the chain, claims are only compared")
        with self._blocks.subscribe() as blocks:
            await blocks.receive()
        async with trio.open_nursery() as nursery:
            for number in range(READERS):
                await nursery.start(self._copy, number)
            task_status.started()

    async def _copy(
        self, number: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with self._redis.dedicated() as connection:
            started = False
            while True:
                try:
                    await self._copy_once(connection, f"shadow-{number}")
                except StateError as error:
                    if isinstance(error, StoreReplyError) and error.code == "NOGROUP":
                        self._begun.clear()
                    _log.warning("the fleet's logs cannot be copied", error=str(error))
                    await trio.sleep(RETRY_SECONDS)
                    continue
                finally:
                    if not started:
                        started = True
                        task_status.started()

    async def _copy_once(self, connection: DedicatedConnection, consumer: str) -> None:
        suppliers = sorted(self._suppliers())
        block = self._blocks.latest
        for supplier in suppliers:
            if supplier not in self._begun:
                await self._logs.begin(supplier, 0 if block is None else block.height)
                self._begun.add(supplier)
        if not suppliers:
            await trio.sleep(RETRY_SECONDS)
            return
        found = await self._logs.read(
            connection, suppliers, consumer=consumer, count=COUNT, block_seconds=BLOCK_SECONDS
        )
        if found:
            await self._write(found)

    async def _write(self, found: Mapping[str, Sequence[bytes]]) -> None:
        """Copy what was read: the fleet's log has it no more, so it is tried until it is done."""
        while True:
            try:
                await self._logs.write(found)
            except StateError as error:
                # Written twice is counted once: a leaf's key is the relay's hash.
                _log.warning("entries not copied yet", error=str(error))
                await trio.sleep(RETRY_SECONDS)
            else:
                self._copied.value += sum(len(some) for some in found.values())
                return


class Comparison:
    """Compares roots with the claims on chain, and remembers how it went."""

    def __init__(self, redis: Redis, theirs: KeyNames, metrics: Metrics) -> None:
        self._logs = CopiedLogs(redis, theirs, shadow_names(theirs))
        self._claims = metrics.counter(
            "relayminer_shadow_claims",
            "Claims of the fleet compared with ours.",
            ("supplier", "verdict"),
        )
        self._difference = metrics.gauge(
            "relayminer_shadow_leaves_difference",
            "Leaves in our tries less those in the fleet's claims, at the last comparison.",
            ("supplier",),
        )

    async def compare(
        self,
        context: SupplierContext,
        sessions: Sequence[Session],
        theirs: Mapping[str, Claim],
    ) -> None:
        """Compare sessions of one supplier whose claim window, the same for all, is over.

        Raises:
            StateError: not possible now.
        """
        copied = await self._logs.copied(context.address)
        end_height = sessions[0].end_height
        difference = 0
        for session in sessions:
            if session.claimed_root is None:
                session.claimed_root = await context.store.live_root(session.session_id)
            claim = theirs.get(session.session_id)
            difference += await self._compare_one(context, session, claim, copied)
        for session_id, claim in theirs.items():
            header = claim.session_header
            if header.session_end_block_height == end_height and not context.book.get(session_id):
                self._claims.bind(context.address, Verdict.UNSEEN.value).value += 1
                difference -= root_count(claim.root_hash)
                _log.error(
                    "shadow: the fleet has claimed a session of which no relay was seen",
                    supplier=context.address,
                    session_id=session_id,
                    their_relays=root_count(claim.root_hash),
                )
        self._difference.bind(context.address).value = difference

    async def _compare_one(
        self, context: SupplierContext, session: Session, claim: Claim | None, copied: Copied
    ) -> int:
        """Write the comparison of one session down; returns by how many leaves it differs."""
        ours = session.claimed_root or b""
        found = b"" if claim is None else claim.root_hash
        verdict = judge(ours, found, is_partial=session.info.start_height <= copied.since_height)
        our_relays, their_relays = _count(ours), _count(found)
        facts: dict[str, str | int] = {
            "verdict": verdict.value,
            "our_relays": our_relays,
            "their_relays": their_relays,
            "our_compute_units": root_sum(ours) if ours else 0,
            "their_compute_units": root_sum(found) if found else 0,
            "our_root": ours.hex(),
            "their_root": found.hex(),
        }
        if copied.missed is not None:
            facts["log_entries_missed"] = copied.missed
        await context.store.append_records([record(Step.SHADOW_CLAIM, session.info, **facts)])
        self._claims.bind(context.address, verdict.value).value += 1
        tell = _log.info if verdict in {Verdict.SAME, Verdict.PARTIAL} else _log.error
        tell(
            "shadow: claim compared",
            supplier=context.address,
            session_id=session.session_id,
            service_id=session.info.service_id,
            **facts,
        )
        await context.book.move(session, SessionState.CLAIM_SKIPPED, f"shadow: {verdict.value}")
        return our_relays - their_relays


def judge(ours: bytes, theirs: bytes, *, is_partial: bool) -> Verdict:
    """Compare two roots of 48 bytes; an empty one is no claim.

    Args:
        ours: what the shadow would have claimed.
        theirs: what the fleet claimed.
        is_partial: the session had begun before the shadow looked.
    """
    if ours == theirs or (not theirs and not _count(ours)):
        return Verdict.SAME
    if is_partial:
        return Verdict.PARTIAL
    return Verdict.DIFFERS if theirs else Verdict.NOT_CLAIMED


def _count(root: bytes) -> int:
    return root_count(root) if root else 0
