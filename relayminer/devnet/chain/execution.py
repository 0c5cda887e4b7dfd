"""Running transactions: in CheckTx, in simulation, in a block. Source: cosmos-sdk: baseapp."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen
from cosmpy.protos.cosmos.base.abci.v1beta1.abci_pb2 import TxMsgData

from relayminer.devnet.chain import accounts, ante, gas, params
from relayminer.devnet.chain.context import Context, GasMeter
from relayminer.devnet.chain.errors import ChainError, DevnetError
from relayminer.devnet.chain.transactions import Transaction, decode_transaction
from relayminer.devnet.chain.values import Simulation, TxResult

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any as AnyMessage

    from relayminer.devnet.chain.transactions import Packed
    from relayminer.devnet.chain.values import Event


_NO_PRICE = Decimal(0)
_SDK = "cosmos/cosmos-sdk@v0.53.7"
_ERRORS = "/go/pkg/mod/cosmossdk.io/errors@v1.0.2/errors.go"
LOCATIONS = (
    ("tx parse error", f"{_ERRORS}:151"),
    ("is smaller than", f"{_SDK}/x/bank/keeper/send.go:298"),
    ("failed to execute message", f"{_SDK}/baseapp/baseapp.go:1052"),
    ("must contain at least one message", f"{_SDK}/baseapp/baseapp.go:631"),
    ("memo too large", f"{_SDK}/x/auth/ante/basic.go:68"),
    ("tx timeout height", f"{_SDK}/x/auth/ante/basic.go:213"),
    ("tx timeout", f"{_SDK}/x/auth/ante/basic.go:221"),
    ("sequence is not allowed", f"{_SDK}/x/auth/ante/sigverify.go:348"),
    ("account sequence mismatch", f"{_SDK}/x/auth/ante/sigverify.go:364"),
    ("unordered t", f"{_SDK}/x/auth/ante/sigverify.go:441"),
)
"""Fragment of an error's text, and the place in the real node that simulation names with it."""
DEFAULT_LOCATION = f"{_ERRORS}:155"


class SimulationError(DevnetError):
    """A simulated transaction would fail; `gas_used` is what it had used by then."""

    def __init__(self, error: ChainError, gas_used: int) -> None:
        super().__init__(error.text)
        self.error = error
        self.gas_used = gas_used

    @property
    def location(self) -> str:
        """Where the real node's source raises it; simulation puts that into its texts."""
        text = self.error.text
        return next((place for part, place in LOCATIONS if part in text), DEFAULT_LOCATION)


@frozen(slots=True)
class Executed:
    """What the messages of a transaction gave."""

    events: tuple[Event, ...]
    responses: tuple[AnyMessage, ...]

    @property
    def data(self) -> bytes:
        """The responses as the chain puts them into a transaction's result."""
        encoded: bytes = TxMsgData(msg_responses=self.responses).SerializeToString()
        return encoded


def check(ctx: Context, raw: bytes, min_gas_price_upokt: Decimal) -> TxResult:
    """CheckTx: everything but the messages; what it changes stays in `ctx` when it passes."""
    ctx.gas = GasMeter()
    try:
        tx = _start(ctx, raw)
        step = ctx.branch()
        ante.run(step, tx, min_gas_price_upokt)
    except ChainError as error:
        return _refused(error, ctx)
    ctx.adopt(step)
    return TxResult(gas_wanted=ctx.gas.limit or 0, gas_used=ctx.gas.used, events=tuple(step.events))


def deliver(ctx: Context, raw: bytes) -> TxResult:
    """Run a transaction in a block: the ante part stays even when the messages fail."""
    ctx.gas = GasMeter()
    try:
        tx = _start(ctx, raw)
        step = ctx.branch()
        ante.run(step, tx, _NO_PRICE)
    except ChainError as error:
        return _refused(error, ctx)
    step.store.write()
    try:
        executed = _run_messages(ctx, tx)
    except ChainError as error:
        return _refused(error, ctx, tuple(step.events))
    return TxResult(
        data=executed.data,
        gas_wanted=ctx.gas.limit or 0,
        gas_used=ctx.gas.used,
        events=(*step.events, *executed.events),
    )


def simulate(ctx: Context, raw: bytes) -> Simulation:
    """Run a transaction on a state to be thrown away; raises SimulationError."""
    ctx.gas = GasMeter()
    try:
        tx = _start(ctx, raw)
        wanted = ctx.gas.limit or 0
        ctx.gas.limit = None
        step = ctx.branch()
        ante.run(step, tx, _NO_PRICE)
        step.store.write()
        executed = _run_messages(ctx, tx)
    except ChainError as error:
        raise SimulationError(error, ctx.gas.used) from error
    return Simulation(
        gas_wanted=wanted,
        gas_used=ctx.gas.used,
        data=executed.data,
        events=(*step.events, *executed.events),
        msg_responses=tuple((each.type_url, each.value) for each in executed.responses),
    )


def run_governance(ctx: Context, packed: Packed) -> ChainError | None:
    """Run a message of the chain's own, all or nothing; the error when it is refused."""
    step = ctx.branch()
    try:
        packed.kind.handle(step, packed.message)
    except ChainError as error:
        return error
    ctx.adopt(step)
    return None


def _start(ctx: Context, raw: bytes) -> Transaction:
    """Decode and check statelessly, then set the gas meter up as the transaction asks."""
    ctx.gas.used = gas.BEFORE_ANTE
    tx = decode_transaction(raw)
    ante.check_messages(tx)
    ctx.gas.used = 0
    # Before the first block nothing is metered.
    ctx.gas.limit = tx.fee.gas_limit if ctx.height else None
    return tx


def _run_messages(ctx: Context, tx: Transaction) -> Executed:
    """Run all messages, or none when one fails."""
    whole = ctx.branch()
    events: list[Event] = []
    responses = []
    session_suppliers = params.session(ctx.store).num_suppliers_per_session
    for index, packed in enumerate(tx.messages):
        step = whole.branch()
        step.emit_plain(
            "message",
            ("action", packed.type_url),
            ("sender", packed.signer),
            ("module", packed.kind.module),
        )
        try:
            step.gas.consume(gas.message_gas(packed, session_suppliers), "WritePerByte")
            packed.kind.handle(step, packed.message)
        except ChainError as error:
            raise ChainError(
                error.codespace,
                error.code,
                f"failed to execute message; message index: {index}: {error.text}",
            ) from error
        step.store.write()
        events.extend(each.with_attribute("msg_index", str(index)) for each in step.events)
        response = packed.kind.response_type
        responses.append(accounts.pack_any(f"/{response.DESCRIPTOR.full_name}", response()))
    whole.store.write()
    return Executed(tuple(events), tuple(responses))


def _refused(error: ChainError, ctx: Context, events: tuple[Event, ...] = ()) -> TxResult:
    return TxResult(
        code=error.code,
        codespace=error.codespace,
        log=error.text,
        gas_wanted=ctx.gas.limit or 0,
        gas_used=ctx.gas.used,
        events=events,
    )
