"""A Redis Cluster: which node has a key, and what to do when it has moved.

redis-py reads the map of slots, in a worker thread; one pipelined link per primary carries the
commands. MOVED and ASK say that nothing was executed, so the command goes where they point. A
command in flight when a node dies fails as it does with one server.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import hiredis
import structlog
import trio
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from relayminer.state.connection import Argument, pack
from relayminer.state.errors import NOT_THE_PRIMARY, StoreAwayError, StoreReplyError, refusal_code
from relayminer.state.link import Link
from relayminer.state.places import FixedPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relayminer.config.settings import RedisSettings
    from relayminer.state.link import Backoff
    from relayminer.state.location import Location
    from relayminer.state.target import Target

MAX_NODES: Final = 512
MAX_SEED_SECONDS: Final = 2.0
REFRESH_SECONDS: Final = 30.0
REFRESH_AWAY_SECONDS: Final = 0.5
"""How often the map is read while a node is away."""
RETRY_SECONDS: Final = 0.05
KEYLESS: Final = frozenset(
    {"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "ECHO", "EXEC", "INFO"}
    | {"MULTI", "PING", "PUBLISH", "ROLE", "SCRIPT", "TIME"}
)
ON_EVERY_NODE: Final = frozenset({"SCRIPT"})
KEY_AFTER_SUBCOMMAND: Final = frozenset({"XGROUP", "XINFO", "OBJECT", "MEMORY"})
WITH_KEY_COUNT: Final = frozenset({"EVAL", "EVALSHA"})
STREAM_READS: Final = frozenset({"XREAD", "XREADGROUP"})
TRY_LATER: Final = NOT_THE_PRIMARY | {"TRYAGAIN", "CLUSTERDOWN", "LOADING"}
REDIRECTIONS: Final = frozenset({"MOVED", "ASK"})

_log = structlog.get_logger("relayminer.state")


def key_of(command: Sequence[Argument]) -> Argument | None:
    """The first key of a command; None when any node will do."""
    name = _word(command[0])
    if name in KEYLESS:
        return None
    if name in WITH_KEY_COUNT:
        return command[3] if int(command[2]) else None
    if name in STREAM_READS:
        words = [_word(word) for word in command]
        return command[words.index("STREAMS") + 1]
    return command[2 if name in KEY_AFTER_SUBCOMMAND else 1]


def slot_of(command: Sequence[Argument]) -> int | None:
    """The slot of a command's first key, None when it has none."""
    key = key_of(command)
    if key is None:
        return None
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _word(word: Argument) -> str:
    return (word.decode("ascii", "replace") if isinstance(word, bytes) else str(word)).upper()


@attrs.define
class _Node:
    """A primary: its link, and what ends it."""

    link: Link
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Cluster:
    """The nodes of one cluster. Also a `Place`: any node that is there, for subscriptions."""

    def __init__(self, location: Location, settings: RedisSettings, backoff: Backoff) -> None:
        self._location = location
        self._settings = settings
        self._backoff = backoff
        self._timeout_seconds = settings.command_timeout_seconds
        self._client: RedisCluster | None = None
        self._nodes: dict[Target, _Node] = {}
        self._owners: dict[int, Target] = {}
        self._nursery: trio.Nursery | None = None
        self._wanted = trio.Event()
        self._changed = trio.Event()
        self._reason = "the map of slots is not read yet"
        self._turn = 0

    @property
    def links(self) -> Sequence[Link]:
        """A link per primary."""
        return [node.link for node in self._nodes.values()]

    @property
    def is_connected(self) -> bool:
        """Whether every primary of the map is reached."""
        return bool(self._owners) and all(link.is_connected for link in self.links)

    async def wait_connected(self) -> None:
        """Returns when every primary is reached."""
        while not self.is_connected:
            waits = [link for link in self.links if not link.is_connected]
            if waits:
                with trio.move_on_after(REFRESH_AWAY_SECONDS):
                    await waits[0].wait_connected()
            else:
                await self._changed.wait()

    async def locate(self) -> Target:
        """A node that is reached, else one of the URL's: another one each time."""
        reached = [target for target, node in self._nodes.items() if node.link.is_connected]
        candidates = reached or list(self._location.seeds)
        self._turn += 1
        return candidates[self._turn % len(candidates)]

    def is_current(self, target: Target) -> bool:
        """Any node is as good as another; a connection to one that died ends by itself."""
        del target
        return True

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the map and the links until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await self._keep_map()
        finally:
            self._nursery = None
            self._nodes.clear()
            self._owners.clear()
            client, self._client = self._client, None
            if client is not None:
                client.close()

    async def one(self, command: Sequence[Argument], timeout_seconds: float | None) -> Any:
        """One command and its reply, errors as values.

        Raises:
            StoreAwayError, StoreFullError: as `Link.submit`.
        """
        deadline = self._deadline(timeout_seconds)
        if _word(command[0]) in ON_EVERY_NODE:
            packed = pack(command)
            replies = [
                await link.submit(packed, 1, max(0.0, deadline - trio.current_time()))
                for link in self.links
            ]
            if not replies:
                raise StoreAwayError(f"{self._location} is away: {self._reason}")
            return replies[0]
        return (await self._send([command], slot_of(command), deadline))[0]

    async def many(
        self, commands: Sequence[Sequence[Argument]], timeout_seconds: float | None
    ) -> list[Any]:
        """Commands and their replies in order, errors as values; each node gets its part.

        Commands without a key go where the command before them went.

        Raises:
            StoreAwayError, StoreFullError: as `Link.submit`; some of them may be executed.
        """
        deadline = self._deadline(timeout_seconds)
        slots: list[int | None] = []
        for command in commands:
            slot = slot_of(command)
            slots.append(slots[-1] if slot is None and slots else slot)
        parts: dict[Link, list[int]] = {}
        for at, slot in enumerate(slots):
            parts.setdefault(await self._link_of(slot, deadline), []).append(at)
        replies: list[Any] = [None] * len(commands)

        async def send(link: Link, part: Sequence[int]) -> None:
            packed = b"".join([pack(commands[at]) for at in part])
            left = max(0.0, deadline - trio.current_time())
            found = await link.submit(packed, len(part), left)
            for at, reply in zip(part, [found] if len(part) == 1 else found, strict=True):
                replies[at] = reply

        await _all_of([partial(send, link, part) for link, part in parts.items()])
        for at, reply in enumerate(replies):
            if _redirects(reply):
                replies[at] = (await self._send([commands[at]], slots[at], deadline, reply))[0]
        return replies

    async def transaction(
        self, wrapped: Sequence[Sequence[Argument]], timeout_seconds: float | None
    ) -> list[Any]:
        """MULTI, commands, EXEC: their replies, errors as values.

        Raises:
            StoreAwayError, StoreFullError: as `Link.submit`.
            StoreReplyError: its keys are in several slots.
        """
        slots = {slot for slot in map(slot_of, wrapped) if slot is not None}
        if len(slots) > 1:
            raise StoreReplyError("CROSSSLOT keys of a transaction are in several slots")
        return await self._send(wrapped, next(iter(slots), None), self._deadline(timeout_seconds))

    def _deadline(self, timeout_seconds: float | None) -> float:
        limit = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        return trio.current_time() + limit

    async def _send(
        self,
        commands: Sequence[Sequence[Argument]],
        slot: int | None,
        deadline: float,
        refused: Any = None,
    ) -> list[Any]:
        """Sends commands of one slot until a node takes them, from a first refusal on."""
        packed = b"".join([pack(command) for command in commands])
        while True:
            link, asked = await self._next_link(slot, deadline, refused, len(commands))
            data = pack(("ASKING",)) + packed if asked else packed
            expected = len(commands) + asked
            left = deadline - trio.current_time()
            try:
                found = await link.submit(data, expected, max(left, 0.0))
            except StoreAwayError as error:
                # A node that left the map while this waited for it: another one has its slots.
                if error.maybe_executed or trio.current_time() >= deadline or self._nursery is None:
                    raise
                refused = None
                await trio.sleep(min(RETRY_SECONDS, max(0.0, deadline - trio.current_time())))
                continue
            replies: list[Any] = [found] if expected == 1 else found[asked:]
            refused = next((reply for reply in replies if _redirects(reply)), None)
            if refused is None or trio.current_time() >= deadline:
                return replies

    async def _next_link(
        self, slot: int | None, deadline: float, refused: Any, count: int
    ) -> tuple[Link, bool]:
        """Where to send it, and whether to say ASKING first."""
        if refused is None:
            return await self._link_of(slot, deadline), False
        code, _, rest = str(refused).partition(" ")
        if code in REDIRECTIONS:
            number, _, address = rest.partition(" ")
            target = self._at(address.split(" ")[0])
            if code == "MOVED" and target is not None:
                self._owners[int(number)] = target
                self._wanted.set()
                return self._node(target).link, False
            # In a transaction ASKING would be queued: it waits until the slot has moved.
            if target is not None and count == 1:
                return self._node(target).link, True
        self._wanted.set()
        await trio.sleep(RETRY_SECONDS)
        return await self._link_of(slot, deadline), False

    async def _link_of(self, slot: int | None, deadline: float) -> Link:
        """The link to the owner of a slot, or to any node that is reached."""
        while True:
            if slot is None:
                links = self.links
                reached = [link for link in links if link.is_connected]
                if found := reached or links:
                    return found[0]
            elif (target := self._owners.get(slot)) is not None:
                return self._node(target).link
            elif self._owners:
                self._wanted.set()
            left = deadline - trio.current_time()
            if self._nursery is None or left <= 0:
                raise StoreAwayError(f"{self._location} is away: {self._reason}")
            with trio.move_on_after(left):
                await self._changed.wait()

    def _node(self, target: Target) -> _Node:
        node = self._nodes.get(target)
        if node is not None:
            return node
        if self._nursery is None or len(self._nodes) >= MAX_NODES:
            raise StoreAwayError(f"{self._location} has no node at {target}")
        node = self._nodes[target] = _Node(Link(FixedPlace(target), self._settings, self._backoff))
        node.link.prepare()
        self._nursery.start_soon(self._run_node, node)
        return node

    async def _run_node(self, node: _Node) -> None:
        with node.scope:
            await node.link.run()

    def _at(self, address: str) -> Target | None:
        """The node at `host:port`; None for an address of which the host is not told."""
        host, _, port = address.rpartition(":")
        return self._location.at(host, int(port)) if host and port.isdecimal() else None

    async def _keep_map(self) -> None:
        attempt = 0
        while True:
            self._wanted = trio.Event()
            try:
                owners = await self._read_map()
            except StoreAwayError as error:
                if attempt == 0:
                    _log.warning("store_map_unknown", reason=str(error))
                self._reason = str(error)
                await trio.sleep(self._backoff.seconds(attempt))
                attempt += 1
                continue
            attempt = 0
            self._take(owners)
            pause = REFRESH_SECONDS if self.is_connected else REFRESH_AWAY_SECONDS
            with trio.move_on_after(pause):
                await self._wanted.wait()
            # However many redirections there are: so many questions and no more.
            await trio.sleep(RETRY_SECONDS)

    def _take(self, owners: dict[int, Target]) -> None:
        primaries = set(owners.values())
        for target in primaries:
            # One broken map may name more nodes than there can be.
            with contextlib.suppress(StoreAwayError):
                self._node(target)
        self._owners = owners
        for target in [target for target in self._nodes if target not in primaries]:
            # What waits for it unsent fails as not executed, and is sent to the new owner.
            self._nodes.pop(target).scope.cancel()
        self._changed.set()
        self._changed = trio.Event()

    async def _read_map(self) -> dict[int, Target]:
        try:
            found = await trio.to_thread.run_sync(self._read_map_blocking, abandon_on_cancel=True)
        except (RedisError, OSError) as error:
            raise StoreAwayError(f"no node of {self._location} told the slots: {error}") from error
        targets = {address: self._location.at(*address) for address in set(found.values())}
        return {slot: targets[address] for slot, address in found.items()}

    def _read_map_blocking(self) -> dict[int, tuple[str, int]]:
        seed = self._location.seeds[0]
        if self._client is None:
            seconds = min(self._timeout_seconds, MAX_SEED_SECONDS)
            self._client = RedisCluster(
                startup_nodes=[
                    ClusterNode(one.host, one.port)  # type: ignore[no-untyped-call]  # redis-py
                    for one in self._location.seeds
                ],
                username=seed.username or None,
                password=seed.password or None,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                protocol=2,
                # A node that is away is not waited for: there are others, and another try.
                retry=Retry(NoBackoff(), 0),
                require_full_coverage=False,
                **self._location.tls_options,
            )
        else:
            self._client.nodes_manager.initialize()
        slots = self._client.nodes_manager.slots_cache
        return {slot: (str(nodes[0].host), int(nodes[0].port)) for slot, nodes in slots.items()}


def _redirects(reply: Any) -> bool:
    """Whether a reply says that nothing was executed and where, or that later, it would be."""
    if not isinstance(reply, hiredis.ReplyError):
        return False
    code = refusal_code(str(reply))
    return code in REDIRECTIONS or code in TRY_LATER


async def _all_of(works: Sequence[Callable[[], Any]]) -> None:
    """All at once; of several failures the first one is raised, when all have ended."""
    if len(works) == 1:
        await works[0]()
        return
    failures: list[Exception] = []

    async def guarded(work: Callable[[], Any]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - raised below, without the nursery's group
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(guarded, work)
    if failures:
        raise failures[0]
