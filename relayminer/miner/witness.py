"""What this process knows to be durable, for when the store says otherwise later.

A store that fails over to a replica, or is set back to a copy, has lost what it had confirmed, and
nothing in it says so. The one who wrote it remembers: how many relays each open trie held, and up
to which log entry. The memory outlives the ownership of a supplier, and on a file the process.

It is a witness for the time in which nobody else owned the supplier: another owner that found a
loss has told it.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from attrs import define, field

from relayminer.miner.entries import SessionInfo

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.miner.sessions import Session
    from relayminer.watchdog import Pulse

FORMAT: Final = 1
WRITE_SECONDS: Final = 3.0
"""How old the file may be: so much of what it knew a `kill -9` takes with it."""

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
        file: where they are kept; None: in memory only.
        store: what they are about: an URL and the names in it. What is known of another store is
            no use.
    """

    def __init__(self, file: Path | None = None, store: str = "") -> None:
        self._file = file
        # An URL may have a password in it.
        self._store = sha256(store.encode()).hexdigest()
        self._known = {} if file is None else _read(file, self._store)

    def take_up(self, supplier: str, token: int) -> Testimony:
        """What is known of a supplier that we own with `token` from now on."""
        known = self._known.get(supplier)
        # A token in between was another owner's; a smaller one is of a store that was set back.
        if known is None or token > known.token + 1:
            known = self._known[supplier] = Testimony(token)
        known.token = token
        return known

    async def run(self, pulse: Pulse) -> None:
        """Keep the file up to date until cancelled."""
        try:
            while True:
                pulse.idle()
                await trio.sleep(WRITE_SECONDS)
                await self._write()
        finally:
            with trio.CancelScope(shield=True):
                await self._write()

    async def _write(self) -> None:
        if self._file is None or not any(one.changed for one in self._known.values()):
            return
        plain = {"format": FORMAT, "store": self._store, "suppliers": _plain(self._known)}
        for one in self._known.values():
            one.changed = False
        try:
            await trio.to_thread.run_sync(_replace, self._file, plain)
        except OSError as error:
            _log.warning("the witness file is not written", file=str(self._file), error=str(error))


def _plain(known: dict[str, Testimony]) -> dict[str, Any]:
    return {
        supplier: {
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
        for supplier, one in known.items()
    }


def _read(file: Path, store: str) -> dict[str, Testimony]:
    """What a process before us knew; nothing when the file cannot be read."""
    try:
        stored = json.loads(file.read_bytes())
        if stored["format"] != FORMAT:
            _log.warning("the witness file is of another version", file=str(file))
            return {}
        if stored["store"] != store:
            return {}
        return {
            supplier: Testimony(
                int(one["token"]),
                (int(one["through"][0]), int(one["through"][1])),
                {
                    row[0]: Held(SessionInfo(*row[:5]), int(row[5]), int(row[6]))
                    for row in one["sessions"]
                },
            )
            for supplier, one in stored["suppliers"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        _log.warning("the witness file is of no use", file=str(file), error=str(error))
        return {}


def _replace(file: Path, plain: dict[str, Any]) -> None:
    data = json.dumps(plain, separators=(",", ":")).encode()
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    fresh.replace(file)
