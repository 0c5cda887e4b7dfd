"""The chain: blocks out of transactions, and everything that can be asked of it."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError as PbDecodeError

from relayminer.devnet.chain import (
    ante,
    applications,
    comet,
    cosmos_block,
    execution,
    params,
    relay_proofs,
    settlement,
    suppliers,
)
from relayminer.devnet.chain.codes import SDK_MEMPOOL_FULL, SDK_TX_IN_CACHE
from relayminer.devnet.chain.context import Context, Mode
from relayminer.devnet.chain.errors import GenesisError, GrpcCode, QueryError
from relayminer.devnet.chain.faults import Faults, StalledError
from relayminer.devnet.chain.genesis import build_state
from relayminer.devnet.chain.history import History
from relayminer.devnet.chain.mempool import BLOCK_BYTES_MAX, TX_BYTES_MAX, Mempool
from relayminer.devnet.chain.messages import MESSAGES
from relayminer.devnet.chain.query_table import QUERIES
from relayminer.devnet.chain.tables import BLOCK_HASHES, VALIDATORS
from relayminer.devnet.chain.transactions import Packed, tx_hash
from relayminer.devnet.chain.tx_index import TxIndex
from relayminer.devnet.chain.values import (
    Block,
    BlockId,
    BlockResults,
    Commit,
    CommitSignature,
    Header,
    IncludedTx,
    Simulation,
    TxResult,
)
from relayminer.protocol.codec import encode
from relayminer.protocol.pb.shared_pb2 import QueryParamsRequest

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.devnet.chain.genesis import Genesis
    from relayminer.devnet.chain.store import Store
    from relayminer.devnet.chain.values import Event

MEMPOOL_SIZE = 5_000
HISTORY_BLOCKS = 10_000
POWER_REDUCTION = 1_000_000
"""Stake per unit of voting power."""


class Chain:
    """A simulated Shannon chain of one validator.

    Args:
        genesis: where it starts.
        min_gas_price_upokt: what CheckTx asks for each unit of gas.
        mempool_size: how many transactions may wait for a block.
        history_blocks: how many blocks, with their results and transactions, can be asked for.
    """

    def __init__(
        self,
        genesis: Genesis,
        *,
        min_gas_price_upokt: Decimal = Decimal(0),
        mempool_size: int = MEMPOOL_SIZE,
        history_blocks: int = HISTORY_BLOCKS,
    ) -> None:
        self.genesis = genesis
        self.chain_id = genesis.chain_id
        self.min_gas_price_upokt = min_gas_price_upokt
        self.mempool = Mempool(mempool_size)
        self.faults = Faults()
        self._store = build_state(genesis)
        self._validator_key = genesis.consensus_key()
        self._app_hash = hashlib.sha256(genesis.chain_id.encode()).digest()
        self._history = History(history_blocks)
        self._index = TxIndex()
        self._governance: list[Packed] = []
        self._check = self._fresh_check_context()

    @property
    def height(self) -> int:
        """The height of the last block, 0 before the first."""
        return self._history.height

    @property
    def base_height(self) -> int:
        """The lowest height that can be asked for, 0 before the first block."""
        return self._history.base_height

    @property
    def latest(self) -> Block | None:
        """The last block, None before the first."""
        latest = self._history.latest
        return None if latest is None else latest[0]

    @property
    def time_ns(self) -> int:
        """The time of the last block, before the first that of the genesis."""
        latest = self.latest
        return self.genesis.time_ns if latest is None else latest.time_ns

    @property
    def app_hash(self) -> bytes:
        """The hash of the state after the last block (32 bytes)."""
        return self._app_hash

    @property
    def validator_public_key(self) -> bytes:
        """The Ed25519 key (32 bytes) of the one validator."""
        return bytes(self._validator_key.verify_key)

    @property
    def validator_address(self) -> bytes:
        """The consensus address (20 bytes) of the one validator."""
        return hashlib.sha256(self.validator_public_key).digest()[:20]

    @property
    def validator_power(self) -> int:
        """Its voting power."""
        stake = sum(each.stake_upokt for each in self._store.values(VALIDATORS))
        return max(1, stake // POWER_REDUCTION)

    @property
    def store(self) -> Store:
        """The committed state; for reading."""
        return self._store

    def block(self, height: int | None = None) -> Block:
        """The block at `height` (None: the last); raises HeightError in the server's words."""
        return self._history.at(height)[0]

    def block_results(self, height: int | None = None) -> BlockResults:
        """What executing the block at `height` gave; raises HeightError."""
        return self._history.at(height)[1]

    def tx(self, digest: bytes) -> IncludedTx | None:
        """The included transaction of this hash (32 bytes), None when there is none."""
        return self._index.get(digest)

    def search(self, query: str, *, descending: bool = False) -> list[IncludedTx]:
        """Included transactions that match a CometBFT query; raises QueryError for a bad one."""
        return self._index.search(query, descending=descending)

    def check_tx(self, tx: bytes) -> TxResult:
        """What CheckTx says of a transaction now; changes nothing."""
        ctx = self._check.branch()
        return execution.check(ctx, tx, self.min_gas_price_upokt)

    def broadcast(self, tx: bytes) -> TxResult:
        """CheckTx and, when it passes, into the mempool; codes 19 and 20 when seen or full."""
        digest = tx_hash(tx)
        refusal = self.faults.take_refusal()
        if refusal is not None:
            return refusal
        if self.mempool.saw(digest):
            return TxResult(SDK_TX_IN_CACHE.code, SDK_TX_IN_CACHE.codespace)
        if self.mempool.full or len(tx) > TX_BYTES_MAX:
            return TxResult(SDK_MEMPOOL_FULL.code, SDK_MEMPOOL_FULL.codespace)
        result = execution.check(self._check, tx, self.min_gas_price_upokt)
        self._check.events.clear()
        if result.ok and not self.faults.take_loss():
            self.mempool.remember(digest)
            earliest = self.height + 1 + self.faults.delay_blocks
            self.mempool.add(digest, tx, earliest)
        return result

    def simulate(self, tx: bytes) -> Simulation:
        """Run a transaction on the last state, at the last height.

        Raises:
            QueryError: (UNKNOWN) why it would fail, with the gas used till then.
        """
        ctx = self._context(self._store.branch(), Mode.SIMULATE)
        try:
            return execution.simulate(ctx, tx)
        except execution.SimulationError as error:
            text = f"{error.error.text} [{error.location}] with gas used: '{error.gas_used}'"
            raise QueryError(GrpcCode.UNKNOWN, text) from error

    def query(self, method: str, request: Message) -> Any:
        """Answer a gRPC query (`/pocket.shared.Query/Params`) from the last state.

        Raises:
            QueryError: any status but OK; UNIMPLEMENTED for an unknown method.
        """
        query = QUERIES.get(method)
        if query is None:
            service, _, name = method.strip("/").partition("/")
            known = any(each.startswith(f"/{service}/") for each in QUERIES)
            text = f"unknown method {name} for service {service}"
            raise QueryError(
                GrpcCode.UNIMPLEMENTED, text if known else f"unknown service {service}"
            )
        if query.of_chain:
            return query.answer(self, request)
        return query.answer(self._context(self._store, Mode.SIMULATE), request)

    def query_bytes(self, method: str, request: bytes) -> bytes:
        """As `query`, with encoded messages; raises QueryError for a request that is none."""
        query = QUERIES.get(method)
        if query is None:
            return encode(self.query(method, QueryParamsRequest()))
        message = query.request_type()
        try:
            message.ParseFromString(request)
        except PbDecodeError as error:
            raise QueryError(
                GrpcCode.INTERNAL, f"grpc: error unmarshalling request: {error}"
            ) from error
        return encode(self.query(method, message))

    def govern(self, message: Message) -> None:
        """Run a message at the end of the next block, whoever would have to sign it.

        Raises:
            GenesisError: the chain does not know such a message.
        """
        type_url = f"/{message.DESCRIPTOR.full_name}"
        kind = MESSAGES.get(type_url)
        if kind is None:
            raise GenesisError(f"the chain has no message {type_url}")
        copied = type(message)()
        copied.CopyFrom(message)
        self._governance.append(Packed(type_url, copied, kind))

    def produce_block(self, time_ns: int) -> Block:
        """Make, execute and commit the next block.

        Args:
            time_ns: its time, in nanoseconds since 1970; never before that of the last block.

        Raises:
            StalledError: the chain was told to stand still.
        """
        if self.faults.stalled:
            raise StalledError("the chain is stalled on purpose")
        height = self.height + 1
        time_ns = max(time_ns, self.time_ns + (1 if self.height else 0))
        txs = self.mempool.reap(height, self.faults.order(height))
        block = self._propose(height, time_ns, txs)
        results, events = self._execute(block)
        app_hash = hashlib.sha256(self._app_hash + block.hash + comet.results_hash(results))
        self._app_hash = app_hash.digest()
        gone = self._history.append(block, BlockResults(height, results, events, self._app_hash))
        self._index.add(block, results)
        if gone is not None:
            self._index.drop(gone)
        self._after_commit(txs, results)
        return block

    def _propose(self, height: int, time_ns: int, txs: tuple[bytes, ...]) -> Block:
        last_commit = self._last_commit(time_ns)
        validators_hash = comet.validators_hash(self.validator_public_key, self.validator_power)
        latest = self._history.latest
        last_results = () if latest is None else latest[1].tx_results
        header = Header(
            chain_id=self.chain_id,
            height=height,
            time_ns=time_ns,
            last_block_id=last_commit.block_id,
            last_commit_hash=comet.commit_hash(last_commit),
            data_hash=comet.data_hash(txs),
            validators_hash=validators_hash,
            next_validators_hash=validators_hash,
            consensus_hash=comet.consensus_hash(BLOCK_BYTES_MAX, -1),
            app_hash=self._app_hash,
            last_results_hash=comet.results_hash(last_results),
            evidence_hash=comet.EMPTY_HASH,
            proposer_address=self.validator_address,
        )
        return Block(header, comet.block_id_of(header, txs, last_commit), txs, last_commit)

    def _last_commit(self, time_ns: int) -> Commit:
        last = self.latest
        if last is None:
            return Commit(0, BlockId())
        document = comet.commit_sign_bytes(self.chain_id, last.height, last.block_id, time_ns)
        signature = self._validator_key.sign(document).signature
        signed = CommitSignature(self.validator_address, time_ns, signature)
        return Commit(last.height, last.block_id, (signed,))

    def _execute(self, block: Block) -> tuple[tuple[TxResult, ...], tuple[Event, ...]]:
        """Begin of block, transactions, end of block; what they changed is committed."""
        ctx = Context(self._store.branch(), self.chain_id, block.height, block.time_ns)
        ante.purge_nonces(ctx)
        cosmos_block.begin_block(ctx)
        suppliers.begin_block(ctx)
        events = [each.with_attribute("mode", "BeginBlock") for each in ctx.events]
        results = []
        for tx in block.txs:
            ctx.events = []
            results.append(execution.deliver(ctx, tx))
        ctx.events = []
        self._end_block(ctx, block)
        events.extend(each.with_attribute("mode", "EndBlock") for each in ctx.events)
        ctx.store.write()
        return tuple(results), tuple(events)

    def _end_block(self, ctx: Context, block: Block) -> None:
        """The modules in the chain's order (wire 14)."""
        for packed in self._governance:
            execution.run_governance(ctx, packed)
        self._governance.clear()
        ctx.store.set(BLOCK_HASHES, block.height, block.hash)
        relay_proofs.end_block(ctx)
        settlement.end_block(ctx)
        applications.end_block(ctx)
        suppliers.end_block(ctx)
        params.promote(ctx)

    def _after_commit(self, txs: tuple[bytes, ...], results: tuple[TxResult, ...]) -> None:
        """Take the block's transactions out of the mempool and check the others again."""
        for tx, result in zip(txs, results, strict=True):
            digest = tx_hash(tx)
            self.mempool.remove(digest)
            if not result.ok:
                self.mempool.forget(digest)
        self._check = self._fresh_check_context()
        self._check.mode = Mode.RECHECK
        for tx in self.mempool:
            if not execution.check(self._check, tx, self.min_gas_price_upokt).ok:
                digest = tx_hash(tx)
                self.mempool.remove(digest)
                self.mempool.forget(digest)
        self._check.events.clear()
        self._check.mode = Mode.CHECK

    def _fresh_check_context(self) -> Context:
        return self._context(self._store.branch(), Mode.CHECK)

    def _context(self, store: Store, mode: Mode) -> Context:
        return Context(store, self.chain_id, self.height, self.time_ns, mode)
