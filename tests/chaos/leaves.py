"""What is in the claimed tries: every leaf, read from the store by a reader of its own.

It shares nothing with the miner's trie but the form of stored nodes (state.md 3): a hash of hex
digests to preimages; leaf 0x00, inner node 0x01, extension 0x02.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from relayminer.protocol.codec import decode
from relayminer.protocol.pb.service_pb2 import Relay
from relayminer.state.errors import StateError

if TYPE_CHECKING:
    from relayminer.demo.rows import Row, Rows
    from relayminer.state.gateway import Redis
    from relayminer.state.names import KeyNames

POLL_SECONDS = 0.4
DIGEST = 48
PATH = 32
EMPTY = bytes(DIGEST)


@define
class Trie:
    """A claimed trie.

    Attributes:
        root: 48 bytes.
        requests: ring signatures of the leaves' requests, with how often each is there.
    """

    root: bytes
    requests: Counter[bytes] = field(factory=Counter)

    @property
    def count(self) -> int:
        """How many leaves the root promises."""
        return int.from_bytes(self.root[40:], "big")


class BrokenTrieError(Exception):
    """Nodes of a sealed trie are missing."""


def leaf_values(root: bytes, nodes: dict[bytes, bytes]) -> list[bytes]:
    """Values of all leaves below a root; raises BrokenTrieError."""
    values = []
    waiting = [root]
    while waiting:
        digest = waiting.pop()
        if digest == EMPTY:
            continue
        node = nodes.get(digest.hex().encode())
        if node is None:
            raise BrokenTrieError(f"no node {digest.hex()}")
        if node[0] == 0:
            values.append(node[1 + PATH : -16])
        elif node[0] == 1:
            waiting += [node[1 : 1 + DIGEST], node[1 + DIGEST : 1 + 2 * DIGEST]]
        else:
            waiting.append(node[3 + PATH : 3 + PATH + DIGEST])
    return values


class LeafReader:
    """Reads each session's trie once it is sealed, before it is deleted.

    Attributes:
        tries: by supplier and session id.
        broken: what could not be read, the last time it was tried.
    """

    def __init__(self, redis: Redis, names: KeyNames, rows: Rows) -> None:
        self.tries: dict[tuple[str, str], Trie] = {}
        self.broken: dict[tuple[str, str], str] = {}
        self._redis = redis
        self._names = names
        self._rows = rows

    async def run(self) -> None:
        """Look for sealed tries until cancelled."""
        while True:
            for row in self._rows.all():
                place = (row.supplier, row.session_id)
                if place in self.tries or row.settled:
                    continue
                try:
                    await self._read(row)
                    self.broken.pop(place, None)
                except BrokenTrieError as error:
                    self.broken[place] = str(error)
                except StateError:
                    break
            await trio.sleep(POLL_SECONDS)

    async def _read(self, row: Row) -> None:
        place = (row.supplier, row.session_id)
        root = await self._redis.command("GET", self._names.smst_root_key(*place))
        if root is None:
            return
        words = await self._redis.command("HGETALL", self._names.smst_nodes_key(*place))
        nodes = dict(zip(words[::2], words[1::2], strict=True))
        trie = Trie(root)
        for value in leaf_values(root, nodes):
            trie.requests[bytes(decode(Relay, value).req.meta.signature)] += 1
        self.tries[place] = trie
