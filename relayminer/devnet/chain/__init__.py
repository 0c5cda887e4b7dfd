"""The state machine of the devnet: a simulated Shannon chain, pure and synchronous.

No I/O, no clock, no task: time comes in with each block, everything else is derived from the
genesis, so the same inputs give the same hashes, events and refusals.

    genesis = make_genesis(seed=b"devnet")           # or load_genesis(json.loads(text))
    chain = Chain(genesis, min_gas_price_upokt=Decimal(0), mempool_size=5000)
    chain.chain_id; chain.height (0 before the first block); chain.latest -> Block | None
    chain.base_height: the lowest height that is still kept (10,000 blocks are)
    chain.genesis.keys -> GenesisKeys (private keys when the genesis was made here)
    chain.produce_block(time_ns) -> Block            # takes txs from the mempool, oldest first
    chain.block(height | None) -> Block              # HeightError, text as in the RPC server's data
    chain.block_results(height | None) -> BlockResults
    chain.tx(hash: bytes) -> IncludedTx | None
    chain.search(query_text, *, descending=False) -> list[IncludedTx]   # "message.action='...'"
    chain.broadcast(tx: bytes) -> TxResult           # CheckTx and into the mempool; code 19 and 20
    chain.check_tx(tx: bytes) -> TxResult            # CheckTx alone
    chain.simulate(tx: bytes) -> Simulation          # raises QueryError(UNKNOWN, text)
    chain.query(method, request_pb) -> response_pb   # "/pocket.shared.Query/Params"; QueryError
    chain.query_bytes(method, request: bytes) -> bytes
    QUERY_TYPES: method -> (request class, response class), all methods that `query` knows;
        the cosmos.tx.v1beta1.Service methods are there too (BroadcastTx, Simulate, GetTx, ...)
    chain.mempool -> Mempool (len(), .sizes)
    chain.faults -> Faults: .delay_txs(blocks), .refuse_txs(n, code, codespace, log),
        .stalled (bool; produce_block raises StalledError), .shuffle(seed)
    chain.govern(msg_pb) -> None                     # run a message with any authority at once,
        in the next block, without a signature (the control surface uses it)

Values are in `values`, errors in `errors`.
"""

from relayminer.devnet.chain.chain import Chain
from relayminer.devnet.chain.errors import (
    ChainError,
    DevnetError,
    GenesisError,
    GrpcCode,
    HeightError,
    QueryError,
)
from relayminer.devnet.chain.faults import Faults, StalledError
from relayminer.devnet.chain.genesis import Genesis, load_genesis
from relayminer.devnet.chain.make_genesis import make_genesis
from relayminer.devnet.chain.mempool import Mempool
from relayminer.devnet.chain.query_table import QUERY_TYPES
from relayminer.devnet.chain.values import (
    Attribute,
    Block,
    BlockId,
    BlockResults,
    Commit,
    CommitSignature,
    Event,
    GenesisKeys,
    Header,
    IncludedTx,
    Simulation,
    TxResult,
)

__all__ = [
    "QUERY_TYPES",
    "Attribute",
    "Block",
    "BlockId",
    "BlockResults",
    "Chain",
    "ChainError",
    "Commit",
    "CommitSignature",
    "DevnetError",
    "Event",
    "Faults",
    "Genesis",
    "GenesisError",
    "GenesisKeys",
    "GrpcCode",
    "Header",
    "HeightError",
    "IncludedTx",
    "Mempool",
    "QueryError",
    "Simulation",
    "StalledError",
    "TxResult",
    "load_genesis",
    "make_genesis",
]
