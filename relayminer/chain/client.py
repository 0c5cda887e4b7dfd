"""Sending transactions: account numbers, gas, unique timestamps, broadcast."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Protocol

import structlog
import trio
from attrs import frozen

from relayminer.chain.errors import (
    ChainError,
    ChainQueryError,
    ChainUnavailableError,
    SimulationRefusedError,
    TransactionRefusedError,
)
from relayminer.chain.fees import adjusted_gas, parse_gas_price
from relayminer.chain.transactions import (
    NANOSECONDS,
    BuiltTransaction,
    body_bytes,
    build_transaction,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from relayminer.chain.accounts import Account
    from relayminer.chain.queries import Broadcast
    from relayminer.config.settings import TransactionSettings
    from relayminer.protocol.signature import SigningKey

_STALE_ACCOUNT_CODES = frozenset({4, 9, 32})
"""Bad signature (perhaps of a changed account number), unknown account, wrong sequence."""

_BROADCAST_ATTEMPTS = 3
_RETRY_SECONDS = 1.0
_OFFSET_SPAN_NS = 10_000_000
"""Timestamps are spread over 10 ms by what the transaction says."""

_MESSAGE_INDEX = re.compile(r"message index: (\d+)")

_log = structlog.get_logger("relayminer.chain.client")


class TransactionNode(Protocol):
    """What sending needs of the chain; `ChainQueries` is one."""

    async def account(self, address: str) -> Account:
        """An account by address."""
        ...

    async def simulate(self, tx_bytes: bytes) -> int:
        """Gas that a transaction would use."""
        ...

    async def broadcast(self, tx_bytes: bytes) -> Broadcast:
        """Hand a transaction to the mempool."""
        ...


@frozen
class Submitted:
    """A transaction that the node's mempool has.

    Attributes:
        tx_hash: upper-case hex.
        code: 0, or 19 (codespace `sdk`) when the node had it already.
        gas: the gas limit that was asked for.
        fee_upokt: what the sender pays, whether or not the messages succeed.
        timeout_timestamp_ns: Unix nanoseconds after which no block includes it.
    """

    tx_hash: str
    code: int
    codespace: str
    raw_log: str
    gas: int
    fee_upokt: int
    timeout_timestamp_ns: int


class TxClient:
    """Builds, signs and broadcasts the transactions of any number of suppliers.

    Args:
        node: the chain.
        settings: prices and bounds.
        chain_id: signed into every transaction.
        now_ns: Unix nanoseconds of the latest block (the chain's clock), or of the wall clock
            before the first block is known.
    """

    def __init__(
        self,
        node: TransactionNode,
        settings: TransactionSettings,
        chain_id: str,
        now_ns: Callable[[], int],
    ) -> None:
        self._node = node
        self._settings = settings
        self._price = parse_gas_price(settings.gas_price)
        self._chain_id = chain_id
        self._now_ns = now_ns
        self._account_numbers: dict[str, int] = {}
        # Timestamps that a supplier's living transactions have taken: the chain refuses a second
        # transaction of one signer with the same one.
        self._taken: dict[str, set[int]] = {}

    async def submit(
        self,
        messages: Sequence[Message],
        key: SigningKey,
        lifetime_seconds: float,
        *,
        gas_limit: int | None = None,
    ) -> Submitted:
        """Send `messages`, all signed by `key`, in one transaction.

        Args:
            messages: claims or proofs of one supplier.
            key: of that supplier.
            lifetime_seconds: how long blocks may include it (see `lifetime_for_window`).
            gas_limit: instead of the settings' own; 0 simulates.

        Raises:
            ValueError: no messages.
            SimulationRefusedError: the messages would fail, with the index of the first one.
            TransactionRefusedError: the mempool refused, with codespace, code and log.
            ChainUnavailableError: not known whether the node has it; sending it again is safe,
                because equal bytes are recognised and an other timestamp makes an other one.
        """
        if not messages:
            raise ValueError("a transaction needs at least one message")
        timestamp_ns = self._take_timestamp(messages, key.address, lifetime_seconds)
        try:
            return await self._send(messages, key, timestamp_ns, gas_limit)
        except TransactionRefusedError as refused:
            if refused.codespace != "sdk" or refused.code not in _STALE_ACCOUNT_CODES:
                raise
            before = self._account_numbers.pop(key.address, None)
            if await self._account_number(key.address) == before:
                raise
        return await self._send(messages, key, timestamp_ns, gas_limit)

    async def _send(
        self,
        messages: Sequence[Message],
        key: SigningKey,
        timestamp_ns: int,
        gas_limit: int | None,
    ) -> Submitted:
        number = await self._account_number(key.address)

        def build(gas: int, *, paid: bool) -> BuiltTransaction:
            return build_transaction(
                messages,
                key,
                account_number=number,
                chain_id=self._chain_id,
                gas_limit=gas,
                fee=self._price.fee(gas) if paid else None,
                memo=self._settings.memo,
                timeout_timestamp_ns=timestamp_ns,
            )

        gas = self._settings.gas_limit if gas_limit is None else gas_limit
        if not gas:
            gas = await self._simulated_gas(build(0, paid=False), len(messages))
        built = build(gas, paid=True)
        answer = await self._broadcast(built)
        if not answer.is_accepted:
            raise TransactionRefusedError(
                answer.codespace, answer.code, answer.raw_log, built.tx_hash
            )
        fee = self._price.fee(gas)
        return Submitted(
            built.tx_hash,
            answer.code,
            answer.codespace,
            answer.raw_log,
            gas,
            fee.amount if fee else 0,
            timestamp_ns,
        )

    async def _account_number(self, address: str) -> int:
        if address not in self._account_numbers:
            self._account_numbers[address] = (await self._node.account(address)).number
        return self._account_numbers[address]

    async def _simulated_gas(self, unpaid: BuiltTransaction, messages: int) -> int:
        """Gas for a transaction, guessed when the node cannot simulate at all."""
        try:
            gas_used = await self._node.simulate(unpaid.tx_bytes)
        except ChainQueryError as error:
            # A transaction that would fail is told with UNKNOWN, the gas it took at the end.
            if error.status == "UNKNOWN":
                found = _MESSAGE_INDEX.search(str(error))
                raise SimulationRefusedError(
                    str(error), int(found[1]) if found else None
                ) from error
            return self._fallback_gas(messages, error)
        except ChainUnavailableError as error:
            return self._fallback_gas(messages, error)
        return adjusted_gas(gas_used, self._settings.gas_adjustment)

    def _fallback_gas(self, messages: int, error: ChainError) -> int:
        gas = self._settings.gas_fallback_per_message * messages
        _log.warning("cannot simulate, using the fallback gas", gas=gas, error=str(error))
        return gas

    async def _broadcast(self, built: BuiltTransaction) -> Broadcast:
        """Broadcast, and again when no answer came: the same bytes are accepted only once."""
        for attempt in range(1, _BROADCAST_ATTEMPTS + 1):
            try:
                return await self._node.broadcast(built.tx_bytes)
            except ChainUnavailableError as error:
                if attempt == _BROADCAST_ATTEMPTS:
                    raise
                _log.warning("broadcast got no answer", tx_hash=built.tx_hash, error=str(error))
                await trio.sleep(_RETRY_SECONDS)
        raise ChainUnavailableError("no attempt to broadcast was made")

    def _take_timestamp(
        self, messages: Sequence[Message], address: str, lifetime_seconds: float
    ) -> int:
        """Unix nanoseconds that no other transaction of this supplier has.

        The offset depends on the messages, so that two processes that act for one supplier (a
        restart, a takeover) do not meet on one timestamp with different messages.
        """
        now_ns = self._now_ns()
        lifetime_seconds = min(lifetime_seconds, self._settings.lifetime_max_seconds)
        digest = hashlib.sha256(body_bytes(messages, "", 0)).digest()
        candidate = (
            now_ns
            + int(lifetime_seconds * NANOSECONDS)
            + int.from_bytes(digest[:8], "big") % _OFFSET_SPAN_NS
        )
        taken = {taken for taken in self._taken.get(address, ()) if taken > now_ns}
        while candidate in taken:
            candidate += 1
        taken.add(candidate)
        self._taken[address] = taken
        return candidate
