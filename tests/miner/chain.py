"""A chain for tests of the miner: deterministic, stepped by hand, and strict about what matters.

It holds claims to windows, roots to compute units, and proofs to their path and root, settles at
the height where the real one settles, and can lose, delay and refuse transactions on command.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field, frozen

from relayminer.chain.errors import (
    ChainUnavailableError,
    NotFoundError,
    SimulationRefusedError,
)
from relayminer.protocol.events import CLAIM_EXPIRED, CLAIM_SETTLED, SUPPLIER_SLASHED
from relayminer.protocol.pb import proof_pb2, service_pb2, session_pb2, shared_pb2
from relayminer.protocol.proof_rule import proof_path, proof_requirement
from relayminer.protocol.reward import claimed_upokt, root_count, root_sum
from relayminer.protocol.windows import SessionWindows, session_windows
from relayminer.smst import decode_proof, verify_closest_proof
from tests.miner.chain_feeds import Events, Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.protobuf.message import Message

    from relayminer.protocol.signature import SigningKey

COMPUTE_UNITS = 7
FEE_UPOKT = 5
PENALTY_UPOKT = 320
BASE_TARGET = b"\xff" * 32


def shared_params(**changes: int) -> shared_pb2.Params:
    """Sessions of 10 blocks, windows of 4, an uPOKT per compute unit."""
    values = {
        "num_blocks_per_session": 10,
        "grace_period_end_offset_blocks": 1,
        "claim_window_open_offset_blocks": 1,
        "claim_window_close_offset_blocks": 4,
        "proof_window_open_offset_blocks": 0,
        "proof_window_close_offset_blocks": 4,
        "compute_units_to_tokens_multiplier": 1_000_000,
        "compute_unit_cost_granularity": 1_000_000,
        "session_grid_anchor_height": 1,
        "session_number_at_anchor": 1,
    }
    return shared_pb2.Params(**{**values, **changes})


@frozen
class Block:
    """A committed block."""

    height: int
    hash: bytes


@frozen
class Receipt:
    """A transaction in the mempool."""

    tx_hash: str
    fee_upokt: int = FEE_UPOKT


@define
class Sent:
    """A transaction that was broadcast."""

    tx_hash: str
    messages: list[Message]
    height: int
    supplier: str
    expires_at: float = math.inf
    """Seconds on Trio's clock: no later block takes it."""


@define
class TestChain:
    """See the module."""

    __test__ = False

    height: int = 1
    set_backs: int = 0
    params: shared_pb2.Params = field(factory=shared_params)
    proofs: proof_pb2.Params = field(factory=proof_pb2.Params)
    sent: list[Sent] = field(factory=list)
    mempool: list[Sent] = field(factory=list)
    claims: dict[tuple[str, str], proof_pb2.Claim] = field(factory=dict)
    block_events: dict[int, list[dict[str, Any]]] = field(factory=dict)
    refuse: Callable[[Message], str] = lambda _: ""
    """Why a message fails, or an empty string."""
    refuse_in_block: Callable[[Any], bool] = lambda _: False
    """What passes the simulation and fails in its block."""
    lose: int = 0
    """So many transactions are accepted and never included."""
    away: bool = False
    """Nothing answers."""
    lags: int = 0
    """So many blocks behind are queries: behind every claim."""
    unstaked: set[str] = field(factory=set)
    records: dict[str, shared_pb2.Supplier] = field(factory=dict)
    """Suppliers whose record is another one."""
    settled: dict[str, int] = field(factory=dict)
    slashed: list[str] = field(factory=list)
    compute_units: int = COMPUTE_UNITS
    hashes: dict[int, bytes] = field(factory=dict)
    """Hashes of blocks that are not the usual ones."""
    before_submit: Callable[[], object] = lambda: None
    """Called when a transaction is about to be sent; the sender dies when it returns something."""
    on_submit: Callable[[], None] = lambda: None
    """Called when a transaction has reached the mempool, before the sender knows."""
    block_time: float = 0.0
    """Of the last block, on Trio's clock."""
    _changed: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        """Every claim needs a proof unless a test says otherwise."""
        self.proofs.proof_request_probability = 1.0
        self.proofs.proof_requirement_threshold.amount = "1"
        self.proofs.proof_submission_fee.amount = "1"
        self.block_events[self.height] = []

    # What tests do.

    def advance(self, blocks: int = 1) -> None:
        """Commit blocks."""
        for _ in range(blocks):
            self._commit()
        self._changed.set()
        self._changed = trio.Event()

    def set_back(self, height: int) -> None:
        """Go on from `height`; what was in later blocks the test takes away itself."""
        self.height = height
        self.set_backs += 1
        self._changed.set()
        self._changed = trio.Event()

    def windows(self, end_height: int) -> SessionWindows:
        """Windows of the sessions that end at `end_height`."""
        return session_windows(self.params, end_height)

    # What the miner asks.

    def _answer(self) -> None:
        if self.away:
            raise ChainUnavailableError("the chain is away")

    async def _asked(self) -> None:
        await trio.lowlevel.checkpoint()
        self._answer()

    async def shared_params(self) -> shared_pb2.Params:
        """Live parameters."""
        await self._asked()
        return self.params

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """Parameters never change here."""
        assert height <= self.height
        return await self.shared_params()

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The chain cannot say, so the miner's own header must do."""
        await trio.lowlevel.checkpoint()
        raise ChainUnavailableError(f"no session of {application} {service} {height}")

    async def supplier(self, address: str) -> shared_pb2.Supplier:
        """Every supplier is staked for one service, but the unstaked ones."""
        await self._asked()
        if address in self.unstaked:
            raise NotFoundError(address)
        if address in self.records:
            return self.records[address]
        return shared_pb2.Supplier(
            operator_address=address,
            owner_address=address,
            services=[
                shared_pb2.SupplierServiceConfig(
                    service_id="svc",
                    endpoints=[shared_pb2.SupplierEndpoint(rpc_type=shared_pb2.JSON_RPC)],
                )
            ],
        )

    async def claim(self, session_id: str, supplier: str) -> proof_pb2.Claim:
        """A claim in state."""
        await self._asked()
        if (session_id, supplier) not in self.claims:
            raise NotFoundError(session_id)
        return self.claims[session_id, supplier]

    async def claims_of(self, supplier: str, min_height: int = 0) -> Sequence[proof_pb2.Claim]:
        """A supplier's claims in state; none of the last blocks' when the node lags."""
        await self._asked()
        if self.lags:
            if min_height > self.height - self.lags:
                raise ChainUnavailableError("the node is not there yet")
            return []
        return [claim for (_, owner), claim in self.claims.items() if owner == supplier]

    async def difficulty_at(self, service: str, height: int) -> service_pb2.RelayMiningDifficulty:
        """Base difficulty."""
        await self._asked()
        assert height <= self.height
        return service_pb2.RelayMiningDifficulty(service_id=service, target_hash=BASE_TARGET)

    async def compute_units_at(self, service: str, height: int) -> int:
        """The same for every service."""
        await self._asked()
        assert service
        assert height <= self.height
        return self.compute_units

    async def proof_params(self) -> proof_pb2.Params:
        """Live proof parameters."""
        await self._asked()
        return self.proofs

    @property
    def latest(self) -> Block:
        """The last committed block."""
        return Block(self.height, self.hash_at(self.height))

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[Feed]:
        """New blocks."""
        yield Feed(self)

    async def block_hash(self, height: int) -> bytes:
        """Hash of a committed block."""
        await self._asked()
        assert height <= self.height
        return self.hash_at(height)

    def hash_at(self, height: int) -> bytes:
        """Hash of any block."""
        return self.hashes.get(height) or hashlib.sha256(b"block %d" % height).digest()

    def events(self, from_height: int) -> Events:
        """Events of every block from `from_height` on."""
        return Events(self, max(1, from_height))

    async def wait_for(self, height: int) -> None:
        """Wait until a block is committed."""
        while self.height < height or self.away:
            await self._changed.wait()

    async def wait_changed(self) -> None:
        """Wait until something is committed, or taken back."""
        await self._changed.wait()

    async def submit(
        self, messages: Sequence[Message], key: SigningKey, lifetime_seconds: float
    ) -> Receipt:
        """Simulate and put into the mempool."""
        await self._asked()
        if self.before_submit() is not None:
            await trio.sleep_forever()
        assert lifetime_seconds > 0
        for index, message in enumerate(messages):
            fault = self._fault(message, self.height)
            if fault:
                raise SimulationRefusedError(f"message index: {index}: {fault}", index)
        tx_hash = hashlib.sha256(b"tx %d" % len(self.sent)).hexdigest().upper()
        expires_at = (self.block_time or trio.current_time()) + lifetime_seconds
        sent = Sent(tx_hash, list(messages), self.height, key.address, expires_at)
        self.sent.append(sent)
        if self.lose:
            self.lose -= 1
        else:
            self.mempool.append(sent)
        self.on_submit()
        return Receipt(tx_hash)

    # How it works.

    def _commit(self) -> None:
        self.height += 1
        self.block_time = trio.current_time()
        self.block_events.setdefault(self.height, [])
        pool, self.mempool = self.mempool, []
        for sent in pool:
            if sent.expires_at < self.block_time:
                continue
            if not any(
                self._fault(message, self.height) or self.refuse_in_block(message)
                for message in sent.messages
            ):
                for message in sent.messages:
                    self._execute(message)
        self._settle()

    def _fault(self, message: Message, height: int) -> str:
        """Why a message fails in a block at `height`, or an empty string."""
        end_height = message.session_header.session_end_block_height  # type: ignore[attr-defined]  # both have one
        windows = self.windows(end_height)
        refusal = self.refuse(message)
        if refusal:
            return refusal
        if isinstance(message, proof_pb2.MsgCreateClaim):
            return self._claim_fault(message, windows, height)
        assert isinstance(message, proof_pb2.MsgSubmitProof)
        return self._proof_fault(message, windows, height)

    def _claim_fault(
        self, message: proof_pb2.MsgCreateClaim, windows: SessionWindows, height: int
    ) -> str:
        root = message.root_hash
        if not windows.in_claim_window(height):
            return "outside of the session's claim window"
        if root_sum(root) != root_count(root) * self.compute_units or not root_count(root):
            return "proof: compute units mismatch"
        return ""

    def _proof_fault(
        self, message: proof_pb2.MsgSubmitProof, windows: SessionWindows, height: int
    ) -> str:
        if not windows.in_proof_window(height):
            return "outside of the session's proof window"
        claim = self.claims.get((message.session_header.session_id, _supplier(message)))
        if claim is None:
            return "proof: claim not found"
        return "" if self._required(claim, windows) else "proof not required"

    def _required(self, claim: proof_pb2.Claim, windows: SessionWindows) -> bool:
        amount = claimed_upokt(claim.root_hash, BASE_TARGET, self.params)
        seed = self.hash_at(windows.seed_height)
        requirement = proof_requirement(claim, amount, seed, self.proofs)
        return requirement != proof_pb2.NOT_REQUIRED

    def _execute(self, message: Message) -> None:
        supplier = _supplier(message)
        header = message.session_header  # type: ignore[attr-defined]  # both messages have one
        place = (header.session_id, supplier)
        if isinstance(message, proof_pb2.MsgCreateClaim):
            self.claims[place] = proof_pb2.Claim(
                supplier_operator_address=supplier,
                session_header=header,
                root_hash=message.root_hash,
            )
            return
        assert isinstance(message, proof_pb2.MsgSubmitProof)
        claim = self.claims[place]
        seed = self.hash_at(self.windows(header.session_end_block_height).seed_height)
        proof = decode_proof(message.proof).decompact()
        good = proof.path == proof_path(seed, header.session_id) and verify_closest_proof(
            proof, claim.root_hash
        )
        claim.proof_validation_status = proof_pb2.VALIDATED if good else proof_pb2.INVALID

    def _settle(self) -> None:
        for (session_id, supplier), claim in list(self.claims.items()):
            windows = self.windows(claim.session_header.session_end_block_height)
            if windows.settlement_height != self.height:
                continue
            amount = claimed_upokt(claim.root_hash, BASE_TARGET, self.params)
            status = claim.proof_validation_status
            attributes = {
                "supplier_operator_address": supplier,
                "service_id": claim.session_header.service_id,
                "application_address": claim.session_header.application_address,
                "session_end_block_height": str(claim.session_header.session_end_block_height),
                "num_relays": str(root_count(claim.root_hash)),
                "num_claimed_compute_units": str(root_sum(claim.root_hash)),
                "claimed_upokt": f"{amount}upokt",
            }
            required = self._required(claim, windows)
            if required and status != proof_pb2.VALIDATED:
                self._emit(CLAIM_EXPIRED, attributes, status, expiration_reason="PROOF_MISSING")
                self._emit(
                    SUPPLIER_SLASHED,
                    attributes,
                    status,
                    proof_missing_penalty=f"{PENALTY_UPOKT}upokt",
                )
                self.slashed.append(session_id)
            else:
                self._emit(
                    CLAIM_SETTLED,
                    attributes,
                    status,
                    session_id=session_id,
                    settled_upokt=f"{amount}upokt",
                )
                self.settled[session_id] = root_count(claim.root_hash)
            del self.claims[session_id, supplier]

    def _emit(self, kind: str, attributes: dict[str, str], status: int, **more: str) -> None:
        texts = {name: json.dumps(text) for name, text in {**attributes, **more}.items()}
        texts["claim_proof_status_int"] = str(status)
        self.block_events[self.height].append(
            {
                "type": kind,
                "attributes": [{"key": key, "value": value} for key, value in texts.items()],
            }
        )


def _supplier(message: Message) -> str:
    address: str = message.supplier_operator_address  # type: ignore[attr-defined]  # both have it
    return address
