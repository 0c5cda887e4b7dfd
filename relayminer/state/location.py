"""What a Redis URL says: one server, a primary that Sentinels know, or a cluster."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
from redis.connection import parse_url

from relayminer.state.errors import StoreUrlError
from relayminer.state.target import SCHEMES, Target, parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTINEL_PORT: Final = 26_379
SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")


class Topology(Enum):
    """How many servers there are, and who knows which is which."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES: Final = {
    "redis-sentinel": (Topology.SENTINEL, "redis"),
    "rediss-sentinel": (Topology.SENTINEL, "rediss"),
    "redis-cluster": (Topology.CLUSTER, "redis"),
    "rediss-cluster": (Topology.CLUSTER, "rediss"),
}
KNOWN_SCHEMES: Final = (*SCHEMES, *(f"{scheme}://" for scheme in _SCHEMES))


@attrs.frozen
class Location:
    """Where the store is.

    Attributes:
        topology: of the servers.
        seeds: the addresses in the URL: the server itself, Sentinels, or some nodes of a cluster;
            with the credentials and the TLS of the servers that hold data.
        primary_name: how the Sentinels call the primary.
        sentinel_username: to log in to the Sentinels themselves; empty without one.
        sentinel_password: empty when Sentinels ask for none.
        tls_options: redis-py's words for the TLS that `Target.tls` is; empty without TLS.
    """

    topology: Topology
    seeds: tuple[Target, ...]
    primary_name: str = ""
    sentinel_username: str = ""
    sentinel_password: str = attrs.field(default="", repr=False)
    tls_options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)

    def at(self, host: str, port: int) -> Target:
        """The server at an address, with the login and the TLS of all."""
        return attrs.evolve(self.seeds[0], host=host, port=port)

    def __str__(self) -> str:
        """Without credentials, for messages and logs."""
        seeds = ",".join(map(str, self.seeds))
        if self.topology is Topology.SENTINEL:
            return f"primary {self.primary_name} (Sentinels {seeds})"
        return f"cluster {seeds}" if self.topology is Topology.CLUSTER else seeds


def parse_location(url: str) -> Location:
    """Understands all that `redis.url` may be, `embedded` aside.

    `redis://`, `rediss://` and `unix://` name one server, as in redis-py.
    `redis-sentinel://[user:password@]host:port,host:port/primary[?db=N]` and
    `redis-cluster://[user:password@]host:port,host:port` are the Go implementation's forms; with
    `rediss-` every connection is TLS. The login is that of the servers; Sentinels that want one
    get `?sentinel_username=` and `?sentinel_password=`.

    Raises:
        StoreUrlError: it is none of these; the text never holds the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        if not url.startswith(SCHEMES):
            raise StoreUrlError(f"a Redis URL starts with one of {', '.join(KNOWN_SCHEMES)}")
        return Location(Topology.STANDALONE, (parse_target(url),))
    topology, plain = _SCHEMES[scheme]
    try:
        parts = urlsplit(f"{plain}://{rest}")
    except ValueError as error:
        raise StoreUrlError(f"the Redis URL has a part that is not valid: {error}") from error
    login, at, addresses = parts.netloc.rpartition("@")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    sentinel_username, sentinel_password = (query.pop(name, "") for name in SENTINEL_OPTIONS)
    name = parts.path.strip("/")
    if topology is Topology.SENTINEL and not name:
        raise StoreUrlError("a Sentinel URL ends with the name of the primary: .../mymaster")
    if topology is Topology.CLUSTER and (name not in {"", "0"} or query.get("db", "0") != "0"):
        raise StoreUrlError("a cluster has no databases; leave the number out")
    default_port = SENTINEL_PORT if topology is Topology.SENTINEL else 6379
    hosts = [_with_port(host, default_port) for host in addresses.split(",") if host]
    if not hosts:
        raise StoreUrlError("the Redis URL names no host")
    options = f"?{urlencode(query)}" if query else ""
    urls = [f"{plain}://{login}{at}{host}{options}" for host in hosts]
    return Location(
        topology,
        tuple(parse_target(one) for one in urls),
        primary_name=name if topology is Topology.SENTINEL else "",
        sentinel_username=sentinel_username,
        sentinel_password=sentinel_password,
        tls_options=_tls_options(urls[0]) if plain == "rediss" else {},
    )


def _tls_options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py
    return {"ssl": True} | {
        name: value for name, value in options.items() if name.startswith("ssl_")
    }


def _with_port(host: str, port: int) -> str:
    tail = host.rpartition("]")[2]
    return host if ":" in tail else f"{host}:{port}"
