"""Checks of `redis`: the URL in all its forms, and settings that must agree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relayminer.config.complaint import Complaint
from relayminer.config.settings import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.config.settings import Settings

ONE_SERVER = ("redis", "rediss", "unix")
SENTINEL = ("redis-sentinel", "rediss-sentinel")
CLUSTER = ("redis-cluster", "rediss-cluster")
_URL = ("redis", "url")
_EXAMPLES = {
    **dict.fromkeys(ONE_SERVER[:2], "redis://host:6379"),
    **dict.fromkeys(SENTINEL, "redis-sentinel://host:26379,host:26379/mymaster"),
    **dict.fromkeys(CLUSTER, "redis-cluster://host:6379,host:6379"),
}


def check_redis(settings: Settings) -> Iterator[Complaint]:
    """`redis.url` is the embedded server or a URL, and what depends on it fits."""
    redis = settings.redis
    yield from _check_url(redis.url)
    if redis.url.partition("://")[0] in CLUSTER and not redis.hash_tags:
        yield Complaint(
            _URL,
            redis.url,
            "a cluster wants keys that meet in one script in one slot",
            "set redis.hash_tags: true; a fleet with other relay miners in it cannot use a cluster",
        )
    low, full = redis.memory_warn_ratio, redis.memory_shed_ratio
    if not 0 < low <= full <= 1:
        yield Complaint(
            ("redis", "memory_shed_ratio"),
            full,
            f"not between memory_warn_ratio ({low}) and 1",
            "0 < memory_warn_ratio <= memory_shed_ratio <= 1",
        )


def _check_url(url: str) -> Iterator[Complaint]:
    if url == EMBEDDED:
        return
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*ONE_SERVER, *SENTINEL, *CLUSTER):
        yield Complaint(
            _URL,
            url,
            "neither `embedded` nor the URL of a server",
            "write embedded, redis://host:6379, rediss://host:6379, unix:///path, "
            f"{_EXAMPLES['redis-sentinel']} or {_EXAMPLES['redis-cluster']}",
        )
        return
    example = _EXAMPLES.get(scheme, "unix:///path").replace("redis", scheme.partition("-")[0], 1)
    if not rest.strip("/"):
        yield Complaint(_URL, url, "no host", f"write {example}")
    elif scheme != "unix" and (wrong := _bad_hosts(url, several=scheme not in ONE_SERVER)):
        yield Complaint(_URL, url, wrong, f"write {example}")
    elif scheme in SENTINEL and not urlsplit(url).path.strip("/"):
        yield Complaint(_URL, url, "no name of the primary", f"write {example}")


def _bad_hosts(url: str, *, several: bool) -> str:
    """Why the hosts and ports of a URL cannot be used, or empty."""
    if re.search(r"[\x00-\x20\x7f]", url):
        return "has white space in it"
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    hosts = authority.split(",")
    if len(hosts) > 1 and not several:
        return "several hosts; which of them has the data say Sentinels or a cluster"
    for host in hosts:
        try:
            parts = urlsplit(f"{scheme}://{host}")
            port = parts.port
        except ValueError as error:
            return str(error)
        if not parts.hostname:
            return "no host"
        if port == 0:
            return "port 0"
    return ""
