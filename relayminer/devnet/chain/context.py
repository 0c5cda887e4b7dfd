"""What a piece of the state machine runs in: state, block, gas and the events so far."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from attrs import define, field

from relayminer.devnet.chain.errors import OutOfGasError
from relayminer.devnet.chain.typed_events import plain_event, typed_event

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.devnet.chain.store import Store
    from relayminer.devnet.chain.values import Event


class Mode(Enum):
    """Why a transaction is run."""

    CHECK = auto()
    RECHECK = auto()
    SIMULATE = auto()
    DELIVER = auto()


@define
class GasMeter:
    """Counts gas against a limit; a limit of None counts without end."""

    limit: int | None = None
    used: int = 0

    def consume(self, amount: int, location: str) -> None:
        """Add `amount`; raises OutOfGasError (`sdk` code 11) past the limit."""
        self.used += amount
        if self.limit is not None and self.used > self.limit:
            raise OutOfGasError(location, self.limit, self.used)


@define
class Context:
    """The surroundings of a step; `height` and `time_ns` are those of the block it runs in."""

    store: Store
    chain_id: str
    height: int
    time_ns: int
    mode: Mode = Mode.DELIVER
    gas: GasMeter = field(factory=GasMeter)
    events: list[Event] = field(factory=list)

    def branch(self) -> Context:
        """A context on a branch of the state with an event list of its own, same gas meter."""
        return Context(
            self.store.branch(), self.chain_id, self.height, self.time_ns, self.mode, self.gas
        )

    def adopt(self, child: Context) -> None:
        """Keep the state and the events of `child`, a branch of this context."""
        child.store.write()
        self.events.extend(child.events)

    def emit(self, message: Message) -> None:
        """Emit a typed event (wire 5)."""
        self.events.append(typed_event(message))

    def emit_plain(self, event_type: str, *attributes: tuple[str, str]) -> None:
        """Emit an event of the Cosmos modules; values are plain text."""
        self.events.append(plain_event(event_type, *attributes))
