"""Every script that changes a supplier's state compares the fencing token: the scripts are counted.

A script that is added to the folder is tried here without being named; one that does not compare
the token must be put on the list below, with its reason.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from relayminer.state.errors import FencedError
from relayminer.state.fence import Fence, load_guarded, run_guarded
from relayminer.state.leases import Lease
from relayminer.state.names import KeyNames
from relayminer.state.scripting import load_script
from tests.tidy.test_layers import sources
from tests.vector_data import REPOSITORY

if TYPE_CHECKING:
    from relayminer.state.gateway import Redis

NAMES = KeyNames()
FOLDER = REPOSITORY / "relayminer" / "state" / "scripts"
UNGUARDED = {
    "guard": "is the guard",
    "lease_sweep": "gives out the tokens, and compares them itself",
    "lease_release": "compares the token itself",
    "lease_free": "deletes only the leases of a process that is dead",
    "consumer_drop": "removes a consumer that has nothing pending: changes nothing of a supplier",
    "dead_letter_replay": "an operator puts entries back into the log, as relayers write them",
    "ledger_append": "each record has an id made of what it is about: twice is once",
    "ledger_trim": "the oldest records, by whoever is asked to",
    "log_append_once": "relayers write the log, and own nothing",
    "compare_and_set": "reports for the Go fleet's tools; compares what it has read",
    "meter_create": "relayers meter, and own nothing",
    "meter_take": "relayers meter, and own nothing",
    "meter_give_back": "relayers meter, and own nothing",
}
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.lua"))
GUARDED = [name for name in SCRIPTS if name not in UNGUARDED]


def loaded_by(loader: str) -> set[str]:
    """The scripts that the package loads with `loader`, by their first name."""
    found: set[str] = set()
    for path in sources("relayminer/state"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == loader
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_script_is_behind_the_guard_or_has_a_reason() -> None:
    """No script is loaded without the guard that is not on the list, and the list is true."""
    assert sorted(UNGUARDED.keys() - set(SCRIPTS)) == []
    assert loaded_by("load_guarded") == set(GUARDED)
    assert loaded_by("load_script") <= set(UNGUARDED)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_declare_their_keys(name: str) -> None:
    """A script touches the keys that it was given and no others: a cluster needs to know them."""
    text = load_script(name).text
    calls = re.findall(r"redis\.p?call\('(\w+)', (?:'[A-Z]+', )?([^,)]+)", text)
    made = [key for command, key in calls if command != "PUBLISH" and re.search(r"['\"]|\.\.", key)]
    assert made == []


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("why", ["newer token", "other holder"])
async def test_who_was_fenced_off_changes_nothing(redis: Redis, name: str, why: str) -> None:
    """With an old token, or with the lease in other hands, a script refuses before it writes."""
    lease = Lease(redis, NAMES.miner_claim_key("s"), NAMES, owner="old", ttl_seconds=60)
    assert await lease.acquire()
    old: Fence = lease.fence
    if why == "newer token":
        await redis.command("DEL", lease.key)
        assert await Lease(redis, lease.key, NAMES, owner="new", ttl_seconds=60).acquire()
    else:
        await redis.command("SET", lease.key, "a-go-miner")
    for number in range(8):
        await redis.command("SET", f"key{number}", "untouched")
    with pytest.raises(FencedError):
        await run_guarded(
            redis, load_guarded(name), old, [f"key{number}" for number in range(8)], ["1"] * 40
        )
    for number in range(8):
        assert await redis.command("GET", f"key{number}") == b"untouched"
