"""The questions we ask the chain, each answered by the node's latest committed state.

Height pinning goes by the height fields of dedicated requests (wire.md 7.2): session boundaries and
windows by the session's end, prices, difficulty and compute units by its start. No query sends the
`x-cosmos-block-height` header.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from attrs import frozen
from cosmpy.protos.cosmos.auth.v1beta1 import query_pb2 as auth_query_pb2
from cosmpy.protos.cosmos.bank.v1beta1 import query_pb2 as bank_query_pb2
from cosmpy.protos.cosmos.base.query.v1beta1 import pagination_pb2
from cosmpy.protos.cosmos.tx.v1beta1 import service_pb2 as tx_service_pb2

from relayminer.chain.accounts import unpack_account
from relayminer.chain.errors import ChainQueryError
from relayminer.chain.grpc_nodes import GrpcNodes
from relayminer.chain.standing import Kind, NodeBoard
from relayminer.protocol.pb import (
    application_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from relayminer.chain.accounts import Account
    from relayminer.chain.grpc_channel import GrpcChannel
    from relayminer.config.chain import ChainSettings
    from relayminer.telemetry.metrics import GaugeFamily, Metrics

CLAIMS_PER_PAGE = 100
MAX_CLAIM_PAGES = 10_000
DENOMINATION = "upokt"
ALREADY_IN_MEMPOOL = 19
"""Code of codespace `sdk`: the same bytes are there already, so the goal is reached."""


@frozen
class TransactionResult:
    """What became of a transaction that is in a block.

    Attributes:
        tx_hash: upper-case hex.
        code: 0 is success.
        gas_used: what it took.
    """

    tx_hash: str
    height: int
    code: int
    codespace: str
    raw_log: str
    gas_used: int


@frozen
class Broadcast:
    """The mempool's answer to a transaction.

    Attributes:
        tx_hash: upper-case hex.
        code: 0 is accepted, 19 of codespace `sdk` is "already there".
    """

    tx_hash: str
    codespace: str
    code: int
    raw_log: str

    @property
    def is_accepted(self) -> bool:
        """Whether the mempool has it, from now or from before."""
        return self.code == 0 or (self.codespace == "sdk" and self.code == ALREADY_IN_MEMPOOL)


class ChainQueries:
    """gRPC queries to the best of some nodes, transactions to all; an async context manager.

    Every method raises NotFoundError when the chain says that the thing does not exist,
    ChainUnavailableError when the node did not answer, ChainQueryError for everything else.
    """

    def __init__(self, settings: ChainSettings, board: NodeBoard | None = None) -> None:
        self.board = board or NodeBoard()
        self._target_bits: GaugeFamily | None = None
        self._channel = GrpcNodes(Kind.GRPC, settings.grpc_nodes, settings, self.board)
        self._broadcast = self._channel
        if settings.broadcast_urls:
            self._broadcast = GrpcNodes(
                Kind.BROADCAST, settings.broadcast_urls, settings, self.board
            )

    def show(self, metrics: Metrics) -> None:
        """Show how the nodes stand, and what they say of difficulty."""
        self.board.show(metrics)
        self._target_bits = metrics.gauge(
            "ha_query_relay_mining_difficulty_target_bits",
            "Zero bits that a relay's hash must begin with, when the chain was last asked",
            ("service_id",),
        )

    @property
    def target(self) -> str:
        """`host:port` of the node that is asked first."""
        return self._channel.target

    @property
    def groups(self) -> list[GrpcNodes]:
        """The nodes of queries and, where they are others, of transactions."""
        return list(dict.fromkeys([self._channel, self._broadcast]))

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for group in self.groups:
                await stack.enter_async_context(group)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def shared_params(self) -> shared_pb2.Params:
        """The shared module's params in force now."""
        answer = await self._channel.call(
            "/pocket.shared.Query/Params",
            shared_pb2.QueryParamsRequest(),
            shared_pb2.QueryParamsResponse,
        )
        return answer.params

    async def shared_params_at(self, height: int) -> shared_pb2.Params:
        """The shared params in force at `height`; the live ones for 0 and below."""
        if height <= 0:
            return await self.shared_params()
        answer = await self._channel.call(
            "/pocket.shared.Query/ParamsAtHeight",
            shared_pb2.QueryParamsAtHeightRequest(height=height),
            shared_pb2.QueryParamsAtHeightResponse,
        )
        return answer.params

    async def session_params(self) -> session_pb2.Params:
        """The session module's params in force now."""
        answer = await self._channel.call(
            "/pocket.session.Query/Params",
            session_pb2.QueryParamsRequest(),
            session_pb2.QueryParamsResponse,
        )
        return answer.params

    async def session(self, application: str, service: str, height: int) -> session_pb2.Session:
        """The session of an application and a service at `height` (0: now).

        Whatever keeps the chain from making one (unknown application, not staked for the service,
        a height ahead of the chain) is a ChainQueryError with status `INTERNAL`.
        """
        answer = await self._channel.call(
            "/pocket.session.Query/GetSession",
            session_pb2.QueryGetSessionRequest(
                application_address=application, service_id=service, block_height=height
            ),
            session_pb2.QueryGetSessionResponse,
        )
        return answer.session

    async def application(self, address: str) -> application_pb2.Application:
        """A staked application."""
        answer = await self._channel.call(
            "/pocket.application.Query/Application",
            application_pb2.QueryGetApplicationRequest(address=address),
            application_pb2.QueryGetApplicationResponse,
        )
        return answer.application

    async def application_params(self) -> application_pb2.Params:
        """The application module's params."""
        answer = await self._channel.call(
            "/pocket.application.Query/Params",
            application_pb2.QueryParamsRequest(),
            application_pb2.QueryParamsResponse,
        )
        return answer.params

    async def supplier(self, operator_address: str) -> shared_pb2.Supplier:
        """A staked supplier, with its service configurations and their history."""
        answer = await self._channel.call(
            "/pocket.supplier.Query/Supplier",
            supplier_pb2.QueryGetSupplierRequest(operator_address=operator_address),
            supplier_pb2.QueryGetSupplierResponse,
        )
        return answer.supplier

    async def supplier_params(self) -> supplier_pb2.Params:
        """The supplier module's params."""
        answer = await self._channel.call(
            "/pocket.supplier.Query/Params",
            supplier_pb2.QueryParamsRequest(),
            supplier_pb2.QueryParamsResponse,
        )
        return answer.params

    async def service(self, service_id: str) -> shared_pb2.Service:
        """A service, with its live compute units per relay."""
        answer = await self._channel.call(
            "/pocket.service.Query/Service",
            service_pb2.QueryGetServiceRequest(id=service_id),
            service_pb2.QueryGetServiceResponse,
        )
        return answer.service

    async def difficulty_at(
        self, service_id: str, height: int
    ) -> service_pb2.RelayMiningDifficulty:
        """The relay mining difficulty of a service in force at `height`."""
        answer = await self._channel.call(
            "/pocket.service.Query/RelayMiningDifficultyAtHeight",
            service_pb2.QueryGetRelayMiningDifficultyAtHeightRequest(
                serviceId=service_id, blockHeight=height
            ),
            service_pb2.QueryGetRelayMiningDifficultyAtHeightResponse,
        )
        difficulty = answer.relayMiningDifficulty
        if self._target_bits is not None:
            target = difficulty.target_hash
            bits = 8 * len(target) - int.from_bytes(target).bit_length()
            self._target_bits.bind(service_id).value = bits
        return difficulty

    async def compute_units_at(self, service_id: str, height: int) -> int:
        """Compute units of one relay of a service in force at `height`.

        Raises:
            UnsupportedQueryError: a node older than the query; use the service's live value.
        """
        answer = await self._channel.call(
            "/pocket.service.Query/ComputeUnitsPerRelayAtHeight",
            service_pb2.QueryComputeUnitsPerRelayAtHeightRequest(
                serviceId=service_id, blockHeight=height
            ),
            service_pb2.QueryComputeUnitsPerRelayAtHeightResponse,
        )
        return answer.computeUnitsPerRelay

    async def proof_params(self) -> proof_pb2.Params:
        """The proof module's params in force now."""
        answer = await self._channel.call(
            "/pocket.proof.Query/Params",
            proof_pb2.QueryParamsRequest(),
            proof_pb2.QueryParamsResponse,
        )
        return answer.params

    async def claim(self, session_id: str, supplier: str) -> proof_pb2.Claim:
        """The claim of a supplier for a session."""
        answer = await self._channel.call(
            "/pocket.proof.Query/Claim",
            proof_pb2.QueryGetClaimRequest(
                session_id=session_id, supplier_operator_address=supplier
            ),
            proof_pb2.QueryGetClaimResponse,
        )
        return answer.claim

    async def claims_of(self, supplier: str, min_height: int = 0) -> list[proof_pb2.Claim]:
        """All claims of a supplier that the chain still holds, page by page.

        Args:
            supplier: operator address.
            min_height: what a node says of an older state than this one's is no answer.

        Raises:
            ChainUnavailableError: also when the node's state is older than `min_height`.
            ChainQueryError: the node's page key does not advance.
        """
        claims: list[proof_pb2.Claim] = []
        seen: set[bytes] = {b""}
        key = b""
        for _ in range(MAX_CLAIM_PAGES):
            answer = await self._channel.call(
                "/pocket.proof.Query/AllClaims",
                proof_pb2.QueryAllClaimsRequest(
                    pagination=pagination_pb2.PageRequest(key=key, limit=CLAIMS_PER_PAGE),
                    supplier_operator_address=supplier,
                ),
                proof_pb2.QueryAllClaimsResponse,
                min_height=min_height,
            )
            claims.extend(answer.claims)
            key = answer.pagination.next_key
            if not key:
                return claims
            if key in seen:
                break
            seen.add(key)
        raise ChainQueryError(f"the pages of the claims of {supplier} do not end", "PAGINATION")

    async def account(self, address: str) -> Account:
        """An account of any type that embeds a base account."""
        answer = await self._channel.call(
            "/cosmos.auth.v1beta1.Query/Account",
            auth_query_pb2.QueryAccountRequest(address=address),
            auth_query_pb2.QueryAccountResponse,
        )
        return unpack_account(answer.account.type_url, answer.account.value)

    async def balance(self, address: str) -> int:
        """What an account holds, in uPOKT."""
        answer = await self._channel.call(
            "/cosmos.bank.v1beta1.Query/Balance",
            bank_query_pb2.QueryBalanceRequest(address=address, denom=DENOMINATION),
            bank_query_pb2.QueryBalanceResponse,
        )
        amount = answer.balance.amount
        if not amount.isascii() or not amount.isdigit():
            raise ChainQueryError(f"the balance of {address} is {amount!r}, no amount", "DECODE")
        return int(amount)

    async def simulate(self, tx_bytes: bytes) -> int:
        """Gas that a transaction would use on the last committed state."""
        answer = await self._channel.call(
            "/cosmos.tx.v1beta1.Service/Simulate",
            tx_service_pb2.SimulateRequest(tx_bytes=tx_bytes),
            tx_service_pb2.SimulateResponse,
        )
        return int(answer.gas_info.gas_used)

    async def broadcast(self, tx_bytes: bytes) -> Broadcast:
        """Hand a transaction to the mempools of all nodes (BROADCAST_MODE_SYNC).

        The answer is that of a node that accepted it, else the best node's.
        """
        request = tx_service_pb2.BroadcastTxRequest(
            tx_bytes=tx_bytes, mode=tx_service_pb2.BROADCAST_MODE_SYNC
        )

        async def send(channel: GrpcChannel) -> Broadcast:
            answer = await channel.call(
                "/cosmos.tx.v1beta1.Service/BroadcastTx",
                request,
                tx_service_pb2.BroadcastTxResponse,
            )
            result = answer.tx_response
            return Broadcast(result.txhash, result.codespace, result.code, result.raw_log)

        return await self._broadcast.tell_all(send, lambda reply: reply.is_accepted)

    async def transaction(self, tx_hash: str) -> TransactionResult:
        """The result of a transaction that a block includes.

        Raises:
            NotFoundError: no block that the node knows has it.
        """
        answer = await self._channel.call(
            "/cosmos.tx.v1beta1.Service/GetTx",
            tx_service_pb2.GetTxRequest(hash=tx_hash),
            tx_service_pb2.GetTxResponse,
        )
        result = answer.tx_response
        return TransactionResult(
            result.txhash,
            result.height,
            result.code,
            result.codespace,
            result.raw_log,
            result.gas_used,
        )
