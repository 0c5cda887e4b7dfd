"""What `redis.url` may be."""

from __future__ import annotations

import pytest

from relayminer.state.cluster import key_of, slot_of
from relayminer.state.errors import (
    StoreRefusesWritesError,
    StoreUrlError,
    refusal_code,
    reply_error,
)
from relayminer.state.location import Topology, parse_location


def test_one_server() -> None:
    """A plain URL is one server, with nothing to ask where it is."""
    location = parse_location("redis://user:p%40ss@host:1/2")
    assert location.topology is Topology.STANDALONE
    (target,) = location.seeds
    assert (target.host, target.port, target.database) == ("host", 1, 2)
    assert str(location) == "host:1"


def test_sentinels() -> None:
    """The Go implementation's form: Sentinels, the primary's name, the servers' password."""
    location = parse_location("redis-sentinel://:secret@a:1,[::1]:2,c/mymaster?db=3")
    assert location.topology is Topology.SENTINEL
    assert [(seed.host, seed.port) for seed in location.seeds] == [
        ("a", 1),
        ("::1", 2),
        ("c", 26_379),
    ]
    assert location.primary_name == "mymaster"
    primary = location.at("d", 6380)
    assert (primary.host, primary.port, primary.database) == ("d", 6380, 3)
    assert (primary.username, primary.password, primary.tls) == ("", "secret", None)
    assert location.sentinel_password == ""
    assert "secret" not in f"{location} {location!r}"


def test_logins_and_tls_of_sentinels() -> None:
    """Sentinels have a login of their own, and with `rediss-` every connection is TLS."""
    location = parse_location(
        "rediss-sentinel://u:p@a/m?sentinel_username=su&sentinel_password=sp&ssl_cert_reqs=none"
    )
    assert (location.sentinel_username, location.sentinel_password) == ("su", "sp")
    assert (location.at("x", 1).username, location.at("x", 1).password) == ("u", "p")
    assert location.at("x", 1).tls is not None
    assert location.tls_options["ssl"] is True
    assert location.tls_options["ssl_cert_reqs"] == "none"
    assert "sp" not in repr(location).replace("ssl", "").split()


def test_clusters() -> None:
    """A cluster is named by some of its nodes and has no databases."""
    location = parse_location("redis-cluster://u:p@a:1,b:2")
    assert location.topology is Topology.CLUSTER
    assert [(seed.host, seed.port, seed.username) for seed in location.seeds] == [
        ("a", 1, "u"),
        ("b", 2, "u"),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@a",
        "redis-sentinel://:secret@a:1",
        "redis-sentinel://:secret@/m",
        "redis-sentinel://:secret@a:b/m",
        "redis-cluster://:secret@a:1/3",
        "redis-cluster://:secret@[::1/",
        "redis-cluster://:secret@a:1?db=2",
        "redis-clusters://:secret@a:1",
    ],
)
def test_what_is_no_location(url: str) -> None:
    """A wrong URL is refused without its password."""
    with pytest.raises(StoreUrlError) as caught:
        parse_location(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "k"), "k"),
        ((b"get", b"k"), b"k"),
        (("EVALSHA", "d", 2, "k", "l", "a"), "k"),
        (("EVAL", "text", 0, "a"), None),
        (("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "k", ">"), "k"),
        (("XGROUP", "CREATE", "k", "g", "0"), "k"),
        (("XINFO", "CONSUMERS", "k", "g"), "k"),
        (("PUBLISH", "channel", "x"), None),
        (("MULTI",), None),
    ],
)
def test_the_key_of_a_command(command: tuple[str, ...], key: object) -> None:
    """The key decides which node of a cluster gets a command."""
    assert key_of(command) == key
    assert (slot_of(command) is None) == (key is None)


def test_a_hash_tag_decides_the_slot() -> None:
    """Keys with one tag are in one slot, whatever else is in their names."""
    assert slot_of(("GET", "a:{s}:b")) == slot_of(("GET", b"c:{s}")) != slot_of(("GET", "a:b"))


def test_what_servers_refuse() -> None:
    """The code is the first word, or what a script of an old server ran into."""
    old = "ERR Error running script (call to f_ab): @user_script:5: -READONLY You can't write"
    assert refusal_code(old) == "READONLY"
    assert refusal_code("ERR Error running script (call to f_ab): @user_script:1: nil") == "ERR"
    full = reply_error("OOM command not allowed when used memory > 'maxmemory'.")
    assert isinstance(full, StoreRefusesWritesError)
    assert not isinstance(reply_error("WRONGTYPE no"), StoreRefusesWritesError)
