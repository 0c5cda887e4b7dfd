"""A simulated chain with everybody's keys in hand: relays, tries, claims, proofs, transactions."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from attrs import define, field
from cosmpy.protos.cosmos.base.v1beta1.coin_pb2 import Coin
from cosmpy.protos.cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmpy.protos.cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT
from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import AuthInfo, SignDoc, TxBody, TxRaw
from google.protobuf.any_pb2 import Any as AnyMessage

from relayminer.devnet.chain import Chain, Genesis, make_genesis
from relayminer.protocol.codec import encode
from relayminer.protocol.pb import proof_pb2, service_pb2, session_pb2, shared_pb2
from relayminer.protocol.proof_rule import proof_path
from relayminer.protocol.relay import request_hash, sign_response, stored_relay
from relayminer.protocol.ring import sign_ring
from relayminer.protocol.ring_members import expected_ring, ring_addresses
from relayminer.protocol.signature import SigningKey
from relayminer.protocol.windows import SessionWindows, session_windows
from relayminer.smst import Trie, encode_proof

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from relayminer.devnet.chain import Block, TxResult

SECOND = 1_000_000_000
SERVICE = "develop-http"
COMPUTE_UNITS = 1000


@define
class World:
    """A chain and its actors."""

    chain: Chain
    _stamps: Any = field(factory=lambda: itertools.count(1), init=False)

    @classmethod
    def make(cls, genesis: Genesis | None = None, **options: Any) -> World:
        """A chain of `make_genesis(**options)`, before its first block."""
        return cls(Chain(genesis or make_genesis(**{"suppliers": 3, **options})))

    def key(self, name: str) -> SigningKey:
        """The key of an actor."""
        return SigningKey(self.chain.genesis.keys.secret(name))

    def address(self, name: str) -> str:
        """The address of an actor."""
        return self.chain.genesis.keys.names[name]

    def balance(self, address: str) -> int:
        """What an address holds, in upokt."""
        from relayminer.devnet.chain.tables import BALANCES  # noqa: PLC0415 - only the tests peek

        return self.chain.store.get(BALANCES, (address, "upokt")) or 0

    def block(self, seconds: int = 1) -> Block:
        """Make one block."""
        return self.chain.produce_block(self.chain.time_ns + seconds * SECOND)

    def advance(self, height: int) -> None:
        """Make blocks up to and including `height`."""
        while self.chain.height < height:
            self.block()

    def session(self, height: int = 0, *, app: str = "app1", service: str = SERVICE) -> Any:
        """A session of an application."""
        request = session_pb2.QueryGetSessionRequest(
            application_address=self.address(app), service_id=service, block_height=height
        )
        return self.chain.query("/pocket.session.Query/GetSession", request).session

    def windows(self, session_end_height: int) -> SessionWindows:
        """The windows of a session."""
        request = shared_pb2.QueryParamsAtHeightRequest(height=session_end_height)
        params = self.chain.query("/pocket.shared.Query/ParamsAtHeight", request).params
        return session_windows(params, session_end_height)

    def sign(
        self,
        messages: Sequence[Message],
        key: SigningKey,
        *,
        gas: int = 2_000_000,
        fee: int = 2000,
        lifetime_ns: int = 120 * SECOND,
        timeout_ns: int | None = None,
        memo: str = "",
        unordered: bool = True,
        sequence: int = 0,
        timeout_height: int = 0,
        chain_id: str | None = None,
        account_number: int | None = None,
        public_key: bytes | None = None,
    ) -> bytes:
        """A transaction as a client would send it; every argument is a way to break it."""
        body = TxBody(memo=memo, unordered=unordered, timeout_height=timeout_height)
        for message in messages:
            body.messages.append(
                AnyMessage(type_url=f"/{message.DESCRIPTOR.full_name}", value=encode(message))
            )
        stamp = timeout_ns
        if stamp is None and unordered:
            stamp = self.chain.time_ns + lifetime_ns + next(self._stamps)
        if stamp is not None:
            body.timeout_timestamp.seconds, body.timeout_timestamp.nanos = divmod(stamp, SECOND)
        auth = AuthInfo()
        info = auth.signer_infos.add(sequence=sequence)
        info.public_key.type_url = "/cosmos.crypto.secp256k1.PubKey"
        info.public_key.value = PubKey(key=public_key or key.public_key).SerializeToString()
        info.mode_info.single.mode = SIGN_MODE_DIRECT
        auth.fee.gas_limit = gas
        if fee:
            auth.fee.amount.append(Coin(denom="upokt", amount=str(fee)))
        number = self.account_number(key.address) if account_number is None else account_number
        document = SignDoc(
            body_bytes=body.SerializeToString(deterministic=True),
            auth_info_bytes=auth.SerializeToString(deterministic=True),
            chain_id=chain_id or self.chain.chain_id,
            account_number=number,
        )
        signature = key.sign(document.SerializeToString(deterministic=True))
        raw = TxRaw(
            body_bytes=document.body_bytes,
            auth_info_bytes=document.auth_info_bytes,
            signatures=[signature],
        )
        encoded: bytes = raw.SerializeToString(deterministic=True)
        return encoded

    def account_number(self, address: str) -> int:
        """The number of an account."""
        from relayminer.devnet.chain.tables import ACCOUNTS  # noqa: PLC0415 - only the tests peek

        account = self.chain.store.get(ACCOUNTS, address)
        return 0 if account is None else account.number

    def run(self, messages: Sequence[Message], key: SigningKey, **options: Any) -> TxResult:
        """Send a transaction, make a block, return what became of it."""
        tx = self.sign(messages, key, **options)
        answer = self.chain.broadcast(tx)
        if not answer.ok:
            return answer
        self.block()
        included = self.chain.tx(hashlib.sha256(tx).digest())
        if included is None:
            raise LookupError("the transaction is in no block")
        return included.result


@define
class Miner:
    """One supplier's work for one session."""

    world: World
    supplier: str
    session: Any
    relays: int = 0
    nodes: dict[bytes, bytes] = field(factory=dict)
    trie: Trie = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the trie on the nodes."""
        self.trie = Trie(load=self.nodes.get)

    def relay(
        self, *, gateway: str = "gateway1", ring_key: SigningKey | None = None
    ) -> service_pb2.Relay:
        """One signed relay as the chain will see it."""
        world, header = self.world, self.session.header
        self.relays += 1
        request = service_pb2.RelayRequest(payload=f"request {self.relays}".encode())
        request.meta.session_header.CopyFrom(header)
        request.meta.supplier_operator_address = world.address(self.supplier)
        members = ring_addresses(self.session.application, header.session_end_block_height)
        names = world.chain.genesis.keys.names
        keys = {address: world.key(name).public_key for name, address in names.items()}
        ring = expected_ring(members, keys)
        signer = ring_key or world.key(gateway)
        if ring_key is not None:
            ring = (ring_key.public_key, ring_key.public_key)
        request.meta.signature = sign_ring(request_hash(request), ring, signer)
        key = world.key(self.supplier)
        response = sign_response(header, f"response {self.relays}".encode(), key)
        return service_pb2.Relay(req=request, res=response)

    def mine(self, count: int, **options: Any) -> Miner:
        """Serve `count` relays and put them into the trie."""
        for _ in range(count):
            relay = self.relay(**options)
            stored = stored_relay(relay.req, relay.res)
            self.trie.update(stored.relay_hash, stored.relay_bytes, COMPUTE_UNITS)
        for kind, digest, preimage in self.trie.commit().changes:
            if kind == "set" and preimage is not None:
                self.nodes[digest] = preimage
        return self

    def claim(self) -> proof_pb2.MsgCreateClaim:
        """The claim for what was mined."""
        return proof_pb2.MsgCreateClaim(
            supplier_operator_address=self.world.address(self.supplier),
            session_header=self.session.header,
            root_hash=self.trie.root,
        )

    def proof(self, *, seed: bytes | None = None) -> proof_pb2.MsgSubmitProof:
        """The proof for what was mined; the seed block must be committed (or given)."""
        header = self.session.header
        windows = self.world.windows(header.session_end_block_height)
        block_hash = seed or self.world.chain.block(windows.seed_height).hash
        path = proof_path(block_hash, header.session_id)
        compact = self.trie.prove_closest(path).compact()
        return proof_pb2.MsgSubmitProof(
            supplier_operator_address=self.world.address(self.supplier),
            session_header=header,
            proof=encode_proof(compact),
        )

    def run(self, message: Message, **options: Any) -> TxResult:
        """Send a message signed by the supplier and make a block."""
        return self.world.run([message], self.world.key(self.supplier), **options)
