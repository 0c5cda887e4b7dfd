"""What this process knows to be durable, for when the store says otherwise later.

A store that fails over to a replica, or is set back to a copy, has lost what it had confirmed, and
nothing in it says so. The one who wrote it remembers: how many relays each open trie held, and up
to which log entry. The memory outlives the ownership of a supplier, and on a file the process.

It is a witness for the time in which nobody else owned the supplier: another owner that found a
loss has told it. Miners that share a home hand their testimonies on to each other: there is a file
for each supplier, and it belongs to the process that has taken the supplier up last.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
import trio
from attrs import define, field

from relayminer.miner.entries import SessionInfo
from relayminer.state.store_home import PRIVATE_DIRECTORY, FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from relayminer.miner.sessions import Session
    from relayminer.watchdog import Pulse

WRITE_SECONDS: Final = 3.0
"""How old the files may be: so much of what it knew a `kill -9` takes with it."""
LOCK_TRIES: Final = 20
LOCK_PAUSE_SECONDS: Final = 0.05
"""Others have the lock for milliseconds, unless they were stopped; then memory must do."""

T = TypeVar("T")

_log = structlog.get_logger("relayminer.miner.witness")


@define
class Held:
    """What an open trie held when its last checkpoint was confirmed."""

    info: SessionInfo
    relays: int
    compute_units: int


@define
class Testimony:
    """What is known of one supplier."""

    __test__ = False

    token: int
    """Fencing token of the ownership that it is from."""
    through: tuple[int, int] = (0, 0)
    """Log entries up to this one were counted and acknowledged."""
    sessions: dict[str, Held] = field(factory=dict)
    changed: bool = False

    def counted(self, through: tuple[int, int]) -> None:
        """Entries up to this one were acknowledged."""
        self.through = max(self.through, through)
        self.changed = True

    def holds(self, session: Session) -> None:
        """A session's trie is durable as `session` says; what is missing of it is still known."""
        missing = session.missing
        self.sessions[session.session_id] = Held(
            session.info,
            session.relay_count + (0 if missing is None else missing.relays),
            session.compute_units + (0 if missing is None else missing.compute_units),
        )
        self.changed = True

    def forget(self, session_id: str) -> None:
        """A trie takes no more relays."""
        self.changed = self.sessions.pop(session_id, None) is not None or self.changed


class Witness:
    """The testimonies of all suppliers of a process.

    Args:
        home: directory where they are kept; None: in memory only.
        store: what they are about: an URL and the names in it. What is known of another store is
            no use.
        owner: id of this process, that no other and no earlier one has had.
    """

    def __init__(self, home: Path | None = None, store: str = "", owner: str = "") -> None:
        # An URL may have a password in it.
        self._files = None if home is None else _Files(home / _name_of(store), owner)
        self._known: dict[str, Testimony] = {}
        self._not_taken: set[str] = set()

    async def take_up(self, supplier: str, token: int) -> Testimony:
        """What is known of a supplier that we own with `token` from now on."""
        known = self._known.get(supplier)
        if self._files is not None:
            theirs = await self._in_thread(partial(self._files.of_others, supplier))
            # Who has taken it up after us knows more.
            known = theirs or known
        # A token in between was another owner's; a smaller one is of a store that was set back.
        if known is None or token > known.token + 1:
            known = Testimony(token)
        self._known[supplier] = known
        known.token = token
        if self._files is not None:
            self._not_taken.add(supplier)
            await self._take(self._files, supplier)
        return known

    async def _take(self, files: _Files, supplier: str, *, late: bool = False) -> None:
        plain = _plain(self._known[supplier])
        if await self._in_thread(lambda: files.take(supplier, plain, late=late)):
            self._not_taken.discard(supplier)

    async def run(self, pulse: Pulse) -> None:
        """Keep the files up to date until cancelled."""
        try:
            while True:
                pulse.idle()
                await trio.sleep(WRITE_SECONDS)
                await self._write()
        finally:
            with trio.CancelScope(shield=True):
                await self._write()

    async def _write(self) -> None:
        files = self._files
        if files is None:
            return
        for supplier in sorted(self._not_taken):
            await self._take(files, supplier, late=True)
        plain = {name: _plain(one) for name, one in self._known.items() if one.changed}
        for name in plain:
            self._known[name].changed = False
        if plain and not await self._in_thread(lambda: files.update(plain)):
            for name in plain:
                self._known[name].changed = True

    async def _in_thread(self, work: Callable[[], T]) -> T | None:
        for left in reversed(range(LOCK_TRIES)):
            try:
                return await trio.to_thread.run_sync(work)
            except OSError as error:
                if not isinstance(error, BlockingIOError) or not left:
                    _log.warning("the witness files cannot be used", error=str(error))
                    return None
            await trio.sleep(LOCK_PAUSE_SECONDS)
        return None


class _Files:
    """A file for each supplier; plain blocking work."""

    def __init__(self, directory: Path, owner: str) -> None:
        self._directory = directory
        self._owner = owner

    def of_others(self, supplier: str) -> Testimony | None:
        """What a process that has taken the supplier up after us, or before us, knew."""
        stored = self._read(supplier)
        return None if stored is None or stored["by"] == self._owner else _testimony(stored)

    def take(self, supplier: str, plain: dict[str, Any], *, late: bool) -> bool:
        """The file is ours from now on; True, for nothing has failed.

        Args:
            supplier: whose.
            plain: what is known.
            late: whether somebody may have taken the supplier up after us: then it is theirs.
        """
        with self._locked():
            stored = self._read(supplier) if late else None
            if stored is None or stored["token"] <= plain["token"]:
                self._replace(supplier, plain)
        return True

    def update(self, plain: dict[str, dict[str, Any]]) -> bool:
        """Write what has changed; of suppliers that others have taken up nothing.

        True, for nothing has failed.
        """
        with self._locked():
            failed = None
            for supplier, one in plain.items():
                try:
                    stored = self._read(supplier)
                    if stored is None or stored["by"] == self._owner:
                        self._replace(supplier, one)
                except OSError as error:
                    # It keeps nobody else's from being written.
                    failed = error
            if failed is not None:
                raise failed
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        lock = FileLock(self._directory / "lock")
        try:
            if not lock.acquire_alone():
                raise BlockingIOError(f"{self._directory} is locked by another process")
            yield
        finally:
            lock.close()

    def _file(self, supplier: str) -> Path:
        return self._directory / f"{supplier}.json"

    def _read(self, supplier: str) -> dict[str, Any] | None:
        """What is in a file; None when there is none, or none that can be used."""
        file = self._file(supplier)
        try:
            stored: dict[str, Any] = json.loads(file.read_bytes())
            _testimony(stored)
            return stored if isinstance(stored["by"], str) else None
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            _log.warning("a witness file is of no use", file=str(file), error=repr(error))
            return None

    def _replace(self, supplier: str, plain: dict[str, Any]) -> None:
        text = json.dumps({"by": self._owner, **plain}, separators=(",", ":"))
        file = self._file(supplier)
        fresh = file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode())
        fresh.replace(file)


def _name_of(store: str) -> str:
    return sha256(store.encode()).hexdigest()[:16]


def _plain(one: Testimony) -> dict[str, Any]:
    return {
        "token": one.token,
        "through": list(one.through),
        "sessions": [
            [
                held.info.session_id,
                held.info.service_id,
                held.info.application_address,
                held.info.start_height,
                held.info.end_height,
                held.relays,
                held.compute_units,
            ]
            for held in one.sessions.values()
        ],
    }


def _testimony(stored: dict[str, Any]) -> Testimony:
    return Testimony(
        int(stored["token"]),
        (int(stored["through"][0]), int(stored["through"][1])),
        {
            row[0]: Held(SessionInfo(*row[:5]), int(row[5]), int(row[6]))
            for row in stored["sessions"]
        },
    )
