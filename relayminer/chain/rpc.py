"""CometBFT JSON-RPC: status, blocks, block results.

Source: wire.md 8 (`cometbft: rpc/core/{blocks,status}.go`, `cometbft: libs/json/doc.go`): integers
of 64 bits come as decimal strings, hashes as upper-case hex, times as RFC 3339 with nanoseconds.
"""

from __future__ import annotations

import base64
import calendar
import json
import re
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import trio
from attrs import frozen

from relayminer.chain.block_results import EventsReader
from relayminer.chain.errors import (
    ChainError,
    ChainQueryError,
    ChainUnavailableError,
    HeightNotReachedError,
)
from relayminer.net.client import HttpPool, fetch, request_bytes
from relayminer.net.dial import dial
from relayminer.net.errors import NetError, WireError
from relayminer.net.url import BackendUrl, Origin, parse_backend_url
from relayminer.net.watchdog import Watchdog

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest `/status` or `/block` answer accepted."""

NANOSECONDS_PER_SECOND = 1_000_000_000
_HASH_BYTES = 32
_HTTP_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_RECEIVE_BYTES = 65_536
_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})"
)
_AHEAD = "must be less than or equal to the current blockchain height"


@frozen
class Block:
    """A block as the chain names it.

    Attributes:
        hash: 32 bytes, the block id's hash: what session ids and proof paths are made of.
        time_ns: the header's time, Unix nanoseconds.
        parent_hash: of the block before; empty for the first one.
    """

    height: int
    hash: bytes
    time_ns: int
    chain_id: str
    parent_hash: bytes = b""


@frozen
class NodeStatus:
    """What a node says of itself.

    Attributes:
        chain_id: `node_info.network`.
        latest_height: 0 before the first block.
        catching_up: the node is still downloading old blocks.
        latest_hash: of its newest block; empty when it does not say.
    """

    chain_id: str
    latest_height: int
    latest_time_ns: int
    catching_up: bool
    latest_hash: bytes = b""


def parse_time(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 time.

    Raises:
        ValueError: it is none.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    zone = match[8]
    if zone != "Z":
        offset_seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds += -offset_seconds if zone[0] == "+" else offset_seconds
    return seconds * NANOSECONDS_PER_SECOND + int((match[7] or "0").ljust(9, "0"))


class BlockRpc(Protocol):
    """What following blocks needs: one node (`CometRpc`), or several (`RpcNodes`)."""

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        ...

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the node whose WebSocket is to be listened to."""
        ...

    @property
    def websocket_path(self) -> str:
        """Where its WebSocket is."""
        ...

    @property
    def authorization(self) -> list[tuple[bytes, bytes]]:
        """The header that says who we are."""
        ...

    async def status(self) -> NodeStatus:
        """Chain id, height and whether it is synced."""
        ...

    async def block(self, height: int | None = None) -> Block:
        """The block at `height`, or the latest."""
        ...

    async def finalize_block_events(self, height: int) -> list[dict[str, Any]]:
        """The events of a block's end."""
        ...


class CometRpc:
    """A client of one node's RPC.

    Args:
        url: `http://`, `https://` or `tcp://` (read as http), with a path if a gateway has one.
        timeout_seconds: for each call as a whole.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        if url.startswith("tcp://"):
            url = "http://" + url.removeprefix("tcp://")
        self._url: BackendUrl = parse_backend_url(url)
        self._timeout_seconds = timeout_seconds
        self._path = self._url.path or b"/"
        self._headers = [(b"Content-Type", b"application/json")]
        if self._url.user_info:
            token = base64.b64encode(self._url.user_info.encode())
            self._headers.append((b"Authorization", b"Basic " + token))
        # Deadlines are cancel scopes here, so nothing has to watch over the connections.
        self._pool = HttpPool(self._url.origin, Watchdog(), max_connections=8)
        self._calls = 0

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return self._url.origin.authority

    @property
    def origin(self) -> Origin:
        """Scheme, host and port of the node."""
        return self._url.origin

    @property
    def websocket_path(self) -> str:
        """Where the node's WebSocket is."""
        return self._url.path.decode("ascii", "replace") + "/websocket"

    @property
    def authorization(self) -> list[tuple[bytes, bytes]]:
        """The header that says who we are, when the URL has a user and a password."""
        return [header for header in self._headers if header[0] == b"Authorization"]

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    async def status(self) -> NodeStatus:
        """The node's chain id, height and whether it is synced.

        Raises:
            ChainUnavailableError, ChainQueryError: as all calls.
        """
        result = await self._call("status", {})
        try:
            sync = result["sync_info"]
            height = int(sync["latest_block_height"])
            return NodeStatus(
                chain_id=result["node_info"]["network"],
                latest_height=height,
                latest_time_ns=parse_time(sync["latest_block_time"]) if height else 0,
                catching_up=bool(sync["catching_up"]),
                latest_hash=bytes.fromhex(sync.get("latest_block_hash") or ""),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable("status", error) from error

    async def server_time(self) -> int | None:
        """Unix seconds by the node's clock, or that of what stands before it; None: not told.

        Raises:
            ChainUnavailableError: no answer.
        """
        try:
            with trio.fail_after(self._timeout_seconds):
                answer = await self._fetch(self._body("health", {}))
        except (trio.TooSlowError, NetError) as error:
            raise ChainUnavailableError(f"{self.address}: health: {error}") from error
        age = answer.header(b"age")
        try:
            told = parsedate_to_datetime(answer.header(b"date").decode("ascii", "replace"))
            # A cache passes the date on as it was, and says for how long it had it.
            return calendar.timegm(told.utctimetuple()) + (int(age) if age.isdigit() else 0)
        except (ValueError, OverflowError):
            return None

    async def block(self, height: int | None = None) -> Block:
        """The block at `height`, or the latest.

        Raises:
            HeightNotReachedError: the node does not have it yet.
            ChainUnavailableError, ChainQueryError: as all calls.
        """
        result = await self._call("block", {} if height is None else {"height": str(height)})
        try:
            header = result["block"]["header"]
            block = Block(
                height=int(header["height"]),
                hash=bytes.fromhex(result["block_id"]["hash"]),
                time_ns=parse_time(header["time"]),
                chain_id=header["chain_id"],
                parent_hash=bytes.fromhex((header.get("last_block_id") or {}).get("hash") or ""),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unreadable("block", error) from error
        if len(block.hash) != _HASH_BYTES or height not in {None, block.height}:
            raise self._unreadable("block", ValueError("another block, or no hash"))
        return block

    async def finalize_block_events(self, height: int) -> list[dict[str, Any]]:
        """The events of a block's end, without those of its transactions.

        The answer holds the results of all transactions as well, which nothing bounds: it is read
        as a stream, and only what is wanted is kept.

        Raises:
            HeightNotReachedError: the node does not have the block yet.
            ChainUnavailableError, ChainQueryError: as all calls.
        """
        request = self._request("block_results", {"height": str(height)})
        reader = EventsReader()
        try:
            with trio.fail_after(self._timeout_seconds * 4):
                wire = await dial(self._url.origin, timeout_seconds=self._timeout_seconds)
                try:
                    await wire.send(request)
                    while not reader.complete:
                        data = await wire.receive(_RECEIVE_BYTES)
                        if not data and not reader.end():
                            raise WireError("the node closed before its answer was complete")
                        reader.feed(data)
                finally:
                    wire.close()
        except trio.TooSlowError:
            raise ChainUnavailableError(f"{self.address} is too slow with block results") from None
        except NetError as error:
            raise ChainUnavailableError(f"{self.address}: block_results: {error}") from error
        if reader.events is None:
            self._result("block_results", reader.status, reader.head)
            raise self._unreadable("block_results", ValueError("no finalize_block_events"))
        return reader.events

    def _body(self, method: str, params: dict[str, str]) -> bytes:
        self._calls += 1
        return json.dumps(
            {"jsonrpc": "2.0", "id": self._calls, "method": method, "params": params}
        ).encode()

    def _request(self, method: str, params: dict[str, str]) -> bytes:
        return request_bytes(
            b"POST",
            self._path,
            self._url.origin.authority.encode(),
            [*self._headers, (b"Connection", b"close")],
            self._body(method, params),
        )

    async def _call(self, method: str, params: dict[str, str]) -> dict[str, Any]:
        body = self._body(method, params)
        try:
            with trio.fail_after(self._timeout_seconds):
                try:
                    response = await self._fetch(body)
                except WireError:
                    # A kept connection that the node has closed; asking twice does no harm.
                    response = await self._fetch(body)
        except trio.TooSlowError:
            raise ChainUnavailableError(
                f"{self.address} did not answer {method} within {self._timeout_seconds:g} s"
            ) from None
        except NetError as error:
            raise ChainUnavailableError(f"{self.address}: {method}: {error}") from error
        return self._result(method, response.status, response.body)

    async def _fetch(self, body: bytes) -> Any:
        return await fetch(
            self._pool,
            b"POST",
            self._path,
            headers=self._headers,
            body=body,
            timeout_seconds=self._timeout_seconds,
            max_response_bytes=MAX_ANSWER_BYTES,
        )

    def _result(self, method: str, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            if status >= _HTTP_SERVER_ERROR or status == _TOO_MANY_REQUESTS:
                raise ChainUnavailableError(
                    f"{self.address} answered {method} with HTTP status {status}"
                ) from error
            raise self._unreadable(method, error) from error
        if isinstance(answer, dict):
            if isinstance(answer.get("error"), dict):
                raise self._rpc_error(method, answer["error"])
            if isinstance(answer.get("result"), dict):
                return answer["result"]  # type: ignore[no-any-return]  # JSON, read by the caller
        raise self._unreadable(method, ValueError("neither result nor error"))

    def _rpc_error(self, method: str, error: dict[str, Any]) -> ChainQueryError:
        text = f"{self.address} answered {method} with error {error.get('code')}: " + " ".join(
            str(error[part]) for part in ("message", "data") if error.get(part)
        )
        if _AHEAD in text:
            return HeightNotReachedError(text, "RPC")
        return ChainQueryError(text, "RPC")

    def _unreadable(self, method: str, error: Exception) -> ChainError:
        return ChainQueryError(
            f"{self.address} answered {method} with something else than CometBFT does: {error!r}",
            "RPC",
        )
