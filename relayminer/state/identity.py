"""Who this process is, and which earlier processes of the same home are surely dead.

A lease outlives its holder by its life. On the machine where the holder died its successor need not
wait for that: every process keeps a file named after its owner id locked for as long as it lives,
and the system lets go of the lock at the very moment of its death.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from attrs import frozen

from relayminer.state.errors import StateError, StoreStartError
from relayminer.state.leases import LEASES_PER_SCRIPT, owner_id
from relayminer.state.living import LivingMiners
from relayminer.state.scripting import chunks, load_script
from relayminer.state.store_home import PRIVATE_DIRECTORY, FileLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

FREE: Final = load_script("lease_free")
SUFFIX: Final = ".owner"

_log = structlog.get_logger("relayminer.state")


@frozen
class Identity:
    """An owner id that nobody else has, and the ids of this home's dead processes."""

    owner: str
    dead: tuple[str, ...]


@contextmanager
def living_identity(home: Path, name: str) -> Iterator[Identity]:
    """An identity of this process while the block runs.

    Args:
        home: data directory; identities live in its folder `owners`.
        name: first part of the owner id.

    Raises:
        StoreStartError: the directory cannot be used.
    """
    folder = home.expanduser().absolute() / "owners"
    owner = owner_id(name)
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        dead = tuple(_bury(folder))
        # Locked before it has its name: nobody may find it there without its lock.
        draft = folder / f".{owner}"
        lock = FileLock(draft)
        lock.acquire_alone()
        path = draft.rename(folder / f"{owner}{SUFFIX}")
    except OSError as error:
        raise StoreStartError(
            f"cannot use {folder}: {error}; choose another data directory with --home"
        ) from error
    try:
        yield Identity(owner, dead)
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _bury(folder: Path) -> Iterator[str]:
    """Owner ids whose processes are dead; their files are removed."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        lock = FileLock(path)
        if lock.acquire_alone():
            path.unlink(missing_ok=True)
            yield path.name.removesuffix(SUFFIX)
        lock.close()


async def free_leases(
    redis: Redis, names: KeyNames, dead: Iterable[str], suppliers: Iterable[str]
) -> int:
    """Free what dead processes of this home still hold; returns how many leases that were.

    A store that is away is no reason to wait here: the leases run out by themselves.
    """
    freed = 0
    keys = [names.global_leader_key, *map(names.miner_claim_key, suppliers)]
    try:
        for owner in dead:
            for some in chunks(keys, 1 if redis.is_cluster else LEASES_PER_SCRIPT):
                freed += int(await redis.script(FREE, some, (owner, names.lease_news_channel)))
            await LivingMiners(redis, names).leave(owner)
    except StateError as error:
        _log.warning("leases_of_dead_not_freed", reason=str(error))
    if freed:
        _log.info("leases_of_dead_freed", leases=freed)
    return freed
