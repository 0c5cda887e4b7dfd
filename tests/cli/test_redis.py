"""`relayminer redis` on the store of a running node."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from relayminer.cli.redis import COMMANDS_THAT_CHANGE
from tests.cli.command import COMMAND, ENVIRONMENT, Ended, relayminer
from tests.e2e.node import Node, running_node, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


@attrs.frozen
class Stage:
    """A node that has served relays of one session and claimed it."""

    node: Node
    supplier: str
    session: str

    def redis(self, *words: str, stdin: str | None = None) -> Ended:
        """One command on its store."""
        command = [*COMMAND, "redis", "--config", str(self.node.home / "node.yaml"), *words]
        done = subprocess.run(
            command,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=ENVIRONMENT,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def send(self) -> None:
        """One relay, in the present session."""
        sent = [*COMMAND, "relay", "jsonrpc", "--devnet", str(self.node.home / "chain")]
        subprocess.run(sent, check=True, capture_output=True, env=ENVIRONMENT, timeout=60)

    def data(self, *words: str) -> Any:
        """What a command tells programs."""
        ended = self.redis(*words, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One node for all of them: most only look."""
    home = tmp_path_factory.mktemp("redis")
    with running_node(home, sections={"miner": {"require_profit": False}}) as node:
        stage = Stage(node, "", "")
        stage.send()
        for _ in range(14):
            node.catch_up(node.step(1))
        wait_until(lambda: stage.data("submissions")["submissions"])
        (one, *_) = stage.data("submissions")["submissions"]
        yield Stage(node, one["supplier"], one["session_id"])


def test_sessions_are_listed_and_found(stage: Stage) -> None:
    """All of a supplier, one by its beginning, those of a state; what is not there is an error."""
    (one,) = stage.data("sessions", "--supplier", stage.supplier)["sessions"]
    assert (one["session_id"], one["relay_count"] > 0) == (stage.session, True)
    words = ("sessions", "--supplier", stage.supplier)
    assert stage.data(*words, "--session", stage.session[:10])["sessions"] == [one]
    assert stage.data(*words, "--state", one["state"])["sessions"] == [one]
    assert stage.data(*words, "--state", "nowhere")["sessions"] == []
    missing = stage.redis(*words, "--session", "ffffffff")
    assert (missing.code, "has no session" in missing.err) == (1, True)


def test_people_get_tables(stage: Stage) -> None:
    """With the names of the columns."""
    shown = stage.redis("sessions", "--supplier", stage.supplier).out
    assert stage.session in shown
    assert "relay count" in shown


def test_tries_streams_and_meters_are_shown(stage: Stage) -> None:
    """Nodes of the trie, the log's reader, what was spent of the budget."""
    tries = stage.data("smst", "--session", stage.session)
    assert any(row["nodes"] > 0 for row in tries["tries"])
    streams = stage.data("streams", "--all")
    assert {row["supplier"] for row in streams["streams"]} >= {stage.supplier}
    assert {row["group"] for row in streams["groups"]} == {"ha-miners"}
    stage.send()
    (meter, *_) = stage.data("meter")["meters"]
    assert 0 <= meter["consumed_upokt"] <= meter["budget_upokt"]
    assert stage.data("meter", "--service", "nothing")["meters"] == []
    assert stage.data("dedup", "--session", stage.session)["dedup"][0]["members"] == 0


def test_leases_say_who_leads_and_who_mines(stage: Stage) -> None:
    """Everything is shared out, to the one miner that there is."""
    # A leader resigns while no blocks come: this chain makes them when it is told to.
    wait_until(lambda: stage.node.step(1) and stage.data("leader")["leader"])
    (leader,) = stage.data("leader")["leader"]
    assert leader["holder"]
    claims = stage.data("supplier")
    assert {row["mined_by"] for row in claims["claims"]} == {leader["holder"]}
    (share,) = claims["shares"]
    assert share["verdict"] == "balanced"
    (one,) = stage.data("supplier", "--supplier", stage.supplier)["suppliers"]
    assert one["status"] == "active"
    assert len(stage.data("supplier", "--list")["suppliers"]) == share["suppliers"]


def test_submissions_are_filtered(stage: Stage) -> None:
    """By outcome, by session; nothing found by name is an error."""
    everything = stage.data("submissions")["submissions"]
    good = stage.data("submissions", "--success-only")["submissions"]
    bad = stage.data("submissions", "--failed-only")["submissions"]
    assert len(good) + len(bad) == len(everything) > 0
    end = str(everything[0]["session_end"])
    assert stage.data("submissions", "--session-end", end)["submissions"]
    assert stage.redis("submissions", "--session", "ffff").code == 1


def test_keys_are_scanned(stage: Stage) -> None:
    """Up to a limit, with type and life."""
    found = stage.data("keys", "--pattern", "ha:smst:*", "--stats")["keys"]
    assert {row["type"] for row in found} <= {"hash", "string"}
    assert len(stage.data("keys", "--limit", "2")["keys"]) == 2


def test_a_cache_entry_is_shown_previewed_and_invalidated(stage: Stage, tmp_path: Path) -> None:
    """A dry run changes nothing; suppliers are asked about; the process fetches it again."""
    listed = stage.data("cache", "--type", "application", "--list")["entries"]
    assert listed
    address = listed[0]["key"].rpartition(":")[2]
    (shown,) = stage.data("cache", "--type", "application", "--key", address)["entries"]
    assert address in shown["key"]
    words = ("cache", "--type", "application", "--invalidate")
    dry = stage.redis(*words, "--all", "--dry-run")
    assert (dry.code, address in dry.err) == (0, True)
    assert len(stage.data("cache", "--type", "application", "--list")["entries"]) == len(listed)
    (tmp_path / "keys").write_text(f"# one\n{address}  # that one\n")
    gone = stage.redis(*words, "--key-file", str(tmp_path / "keys"))
    assert "1 entries are gone" in gone.out
    refused = stage.redis("cache", "--type", "supplier", "--invalidate", "--all", stdin="n\n")
    assert refused.code == 1
    assert stage.data("supplier", "--list")["suppliers"]


@pytest.mark.parametrize(
    "words",
    [
        ("cache", "--type", "application", "--invalidate"),
        ("cache", "--type", "application", "--invalidate", "--all", "--key", "x"),
        ("cache", "--type", "application", "--invalidate", "--key", "x", "--dry-run"),
        ("cache", "--type", "application"),
        ("flush",),
        ("flush", "--all", "--pattern", "x"),
        ("streams",),
        ("submissions", "--failed-only", "--success-only"),
    ],
)
def test_words_that_do_not_go_together_are_refused(stage: Stage, words: tuple[str, ...]) -> None:
    """Before anything is looked at."""
    assert stage.redis(*words).code == 2


def test_keys_are_deleted_only_on_the_word(stage: Stage) -> None:
    """Twenty are shown first; anything but DELETE leaves them."""
    url = stage.data("keys", "--limit", "1")
    assert url
    pattern = f"ha:tx:track:{stage.supplier}:*"
    count = len(stage.data("keys", "--pattern", pattern)["keys"])
    assert count
    left = stage.redis("flush", "--pattern", pattern, stdin="yes\n")
    assert left.code == 1
    assert len(stage.data("keys", "--pattern", pattern)["keys"]) == count
    gone = stage.redis("flush", "--pattern", pattern, stdin="DELETE\n")
    assert (gone.code, f"{count} keys are gone" in gone.out) == (0, True)


def test_messages_are_heard(stage: Stage) -> None:
    """Of a channel, for a while; none in a quiet one."""
    heard = stage.redis("pubsub", "--channel", "ha:nobody", "--duration", "0.2")
    assert (heard.code, heard.out) == (0, "")


def test_a_go_file_names_the_store_as_well(tmp_path: Path) -> None:
    """The server that is not there is told, not a key of the file."""
    path = tmp_path / "miner.yaml"
    path.write_text(
        "redis: {url: 'redis://127.0.0.1:1'}\nkeys: {keys_file: x}\n"
        "pocket_node: {query_node_rpc_url: 'http://a:1', query_node_grpc_url: 'a:2'}\n"
    )
    ended = relayminer("redis", "--config", str(path), "leader")
    assert ended.code == 1
    assert "store" in ended.err
    assert len(COMMANDS_THAT_CHANGE) == 2
