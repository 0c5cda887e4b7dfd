"""CometBFT's RPC methods, free of any transport: name and arguments in, result or error out."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import frozen

from relayminer.devnet.chain import Block, HeightError, TxResult
from relayminer.devnet.comet_json import (
    Json,
    base64_text,
    block_id_json,
    block_json,
    block_results_json,
    commit_json,
    header_json,
    hex_upper,
    time_text,
    tx_hash,
    tx_json,
)
from relayminer.devnet.errors import DevnetError, RpcError
from relayminer.devnet.rpc_params import Arguments, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relayminer.devnet.identity import NodeIdentity
    from relayminer.devnet.node import Node

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603

CODE_IN_CACHE = 19
CODE_MEMPOOL_FULL = 20
PAGE_DEFAULT = 30
PAGE_MAX = 100

_HEIGHT: Arguments = {"height": Kind.HEIGHT}


def internal_error(data: str) -> RpcError:
    """The error for a method that failed."""
    return RpcError(INTERNAL_ERROR, "Internal error", data)


@frozen
class Method:
    """One method: what it takes and what it does."""

    arguments: Arguments
    function: Callable[..., Json]


class RpcMethods:
    """The methods of one node.

    Args:
        node: whose chain is shown.
        identity: what the node says about itself.
    """

    def __init__(self, node: Node, identity: NodeIdentity) -> None:
        self._node = node
        self._chain = node.chain
        self._identity = identity
        search: Arguments = {
            "query": Kind.TEXT,
            "prove": Kind.FLAG,
            "page": Kind.HEIGHT,
            "per_page": Kind.HEIGHT,
            "order_by": Kind.TEXT,
        }
        self.table: Mapping[str, Method] = {
            "health": Method({}, dict),
            "status": Method({}, self._status),
            "abci_info": Method({}, self._abci_info),
            "net_info": Method({}, self._net_info),
            "block": Method(_HEIGHT, self._block),
            "block_by_hash": Method({"hash": Kind.HASH}, self._block_by_hash),
            "block_results": Method(_HEIGHT, self._block_results),
            "header": Method(_HEIGHT, self._header),
            "commit": Method(_HEIGHT, self._commit),
            "tx": Method({"hash": Kind.HASH, "prove": Kind.FLAG}, self._tx),
            "tx_search": Method(search, self._tx_search),
            "num_unconfirmed_txs": Method({}, self._num_unconfirmed_txs),
            "unconfirmed_txs": Method({"limit": Kind.HEIGHT}, self._unconfirmed_txs),
            "broadcast_tx_sync": Method({"tx": Kind.BYTES}, self._broadcast_sync),
            "broadcast_tx_async": Method({"tx": Kind.BYTES}, self._broadcast_async),
        }

    def method(self, name: str) -> Method:
        """The method called `name`.

        Raises:
            RpcError: -32601, there is none.
        """
        method = self.table.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found", "")
        return method

    def call(self, name: str, arguments: Mapping[str, Any]) -> Json:
        """The result of a method with converted arguments.

        Raises:
            RpcError: the method is unknown or failed.
        """
        method = self.method(name)
        try:
            return method.function(**arguments)
        except RpcError:
            raise
        except DevnetError as error:
            raise internal_error(str(error)) from error

    def _at(self, height: int | None) -> int:
        """The height that a call means; refuses what the node does not show."""
        tip = self._node.visible_height
        if height is None:
            return tip
        if height <= 0:
            raise HeightError(f"height must be greater than 0, but got {height}")
        if height > tip:
            raise HeightError(
                f"height {height} must be less than or equal to the current blockchain height {tip}"
            )
        return height

    def _block_at(self, height: int | None) -> Block:
        return self._chain.block(self._at(height))

    def _status(self) -> Json:
        latest, earliest = self._block_at(None), self._chain.block(self._chain.base_height)
        return {
            "node_info": self._identity.node_info(),
            "sync_info": {
                "latest_block_hash": hex_upper(latest.hash),
                "latest_app_hash": hex_upper(latest.header.app_hash),
                "latest_block_height": str(latest.height),
                "latest_block_time": time_text(latest.time_ns),
                "earliest_block_hash": hex_upper(earliest.hash),
                "earliest_app_hash": hex_upper(earliest.header.app_hash),
                "earliest_block_height": str(earliest.height),
                "earliest_block_time": time_text(earliest.time_ns),
                "catching_up": False,
            },
            "validator_info": {
                "address": hex_upper(self._chain.validator_address),
                "pub_key": {
                    "type": "tendermint/PubKeyEd25519",
                    "value": base64_text(self._chain.validator_public_key),
                },
                "voting_power": str(self._chain.validator_power),
            },
        }

    def _abci_info(self) -> Json:
        results = self._chain.block_results(self._at(None))
        return {
            "response": {
                "data": "pocket",
                "last_block_height": str(results.height),
                "last_block_app_hash": base64_text(results.app_hash),
            }
        }

    def _net_info(self) -> Json:
        return {"listening": True, "listeners": ["Listener(@)"], "n_peers": "0", "peers": []}

    def _block(self, height: int | None) -> Json:
        return block_json(self._block_at(height))

    def _block_by_hash(self, hash: bytes) -> Json:  # noqa: A002 - the argument's name on the wire
        for height in range(self._node.visible_height, 0, -1):
            block = self._chain.block(height)
            if block.hash == hash:
                return block_json(block)
        return {"block_id": block_id_json(type(self._block_at(None).block_id)()), "block": None}

    def _block_results(self, height: int | None) -> Json:
        return block_results_json(self._chain.block_results(self._at(height)))

    def _header(self, height: int | None) -> Json:
        return {"header": header_json(self._block_at(height).header)}

    def _commit(self, height: int | None) -> Json:
        block = self._block_at(height)
        if block.height == self._chain.height:
            return self._signed_header(block, None)
        return self._signed_header(block, self._chain.block(block.height + 1))

    def _signed_header(self, block: Block, successor: Block | None) -> Json:
        """A header with the commit that its successor carries; the tip has none yet."""
        commit = None if successor is None else commit_json(successor.last_commit)
        return {
            "signed_header": {"header": header_json(block.header), "commit": commit},
            "canonical": successor is not None,
        }

    def _tx(self, hash: bytes, *, prove: bool) -> Json:  # noqa: A002, ARG002 - names on the wire
        included = self._chain.tx(hash)
        if included is None:
            raise internal_error(f"tx ({hex_upper(hash)}) not found")
        return tx_json(included)

    def _tx_search(
        self,
        query: str,
        *,
        prove: bool,  # noqa: ARG002 - the argument's name on the wire
        page: int | None,
        per_page: int | None,
        order_by: str,
    ) -> Json:
        if order_by not in {"", "asc", "desc"}:
            raise internal_error("expected order_by to be either `asc` or `desc` or empty")
        found = self._chain.search(query, descending=order_by == "desc")
        size = min(max(per_page or PAGE_DEFAULT, 1), PAGE_MAX)
        pages = max(1, -(-len(found) // size))
        number = page or 1
        if not 1 <= number <= pages:
            raise internal_error(f"page should be within [1, {pages}] range, given {number}")
        start = (number - 1) * size
        return {
            "txs": [tx_json(each) for each in found[start : start + size]],
            "total_count": str(len(found)),
        }

    def _num_unconfirmed_txs(self) -> Json:
        count, total_bytes = self._chain.mempool.sizes
        return {
            "n_txs": str(count),
            "total": str(count),
            "total_bytes": str(total_bytes),
            "txs": None,
        }

    def _unconfirmed_txs(self, limit: int | None) -> Json:
        count, total_bytes = self._chain.mempool.sizes
        size = min(max(limit or PAGE_DEFAULT, 1), PAGE_MAX)
        txs = [base64_text(tx) for tx in islice(self._chain.mempool, size)]
        return {
            "n_txs": str(len(txs)),
            "total": str(count),
            "total_bytes": str(total_bytes),
            "txs": txs,
        }

    def _broadcast_sync(self, tx: bytes) -> Json:
        return _broadcast_json(tx, self._submit(tx))

    def _broadcast_async(self, tx: bytes) -> Json:
        self._submit(tx)
        return _broadcast_json(tx, TxResult())

    def _submit(self, tx: bytes) -> TxResult:
        """CheckTx; the mempool's own refusals are RPC errors, not results."""
        result = self._chain.broadcast(tx)
        if result.codespace == "sdk" and result.code == CODE_IN_CACHE:
            raise internal_error("tx already exists in cache")
        if result.codespace == "sdk" and result.code == CODE_MEMPOOL_FULL:
            raise internal_error(result.log or "mempool is full")
        return result


def _broadcast_json(tx: bytes, result: TxResult) -> Json:
    return {
        "code": result.code,
        "data": hex_upper(result.data),
        "log": result.log,
        "codespace": result.codespace,
        "hash": hex_upper(tx_hash(tx)),
    }
