"""The control surface: step the chain, change its clock and its params, make things go wrong.

Plain HTTP with JSON bodies, bound to localhost; refusals are 400 with `{"error": …}`.

    GET  /control/status
    POST /control/step?blocks=3            or ?until=120
    POST /control/clock    {"block_time_seconds": 0.5}       null stops the clock
    POST /control/faults   {"stalled": true, "refuse_txs": {"count": 1, "code": 20, …}, …}
    POST /control/params/proof  {"proof_request_probability": 0.25}
    POST /control/govern   {"@type": "/pocket.service.MsgAddService", …}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, json_format, message_factory

from relayminer.devnet.comet_json import hex_upper, time_text
from relayminer.devnet.errors import ControlError
from relayminer.devnet.faults import QueryFault
from relayminer.protocol.address import module_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from relayminer.devnet.chain import Block
    from relayminer.devnet.node import Node

_POOL: Any = descriptor_pool.Default()  # type: ignore[no-untyped-call]  # protobuf is untyped
MAX_STEP_BLOCKS = 100_000
PARAM_MODULES = (
    "application",
    "gateway",
    "proof",
    "service",
    "session",
    "shared",
    "supplier",
    "tokenomics",
)


class Control:
    """The commands, free of HTTP.

    Args:
        node: what they act on.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._setters: Mapping[str, Callable[[Any], None]] = {
            "stalled": self._set_stalled,
            "delay_txs": lambda value: node.chain.faults.delay_txs(whole(value)),
            "refuse_txs": self._refuse_txs,
            "lose_txs": lambda value: setattr(node.chain.faults, "lose_txs", whole(value)),
            "shuffle": lambda value: node.chain.faults.shuffle(
                None if value is None else whole(value)
            ),
            "lag_blocks": lambda value: setattr(node.faults, "lag_blocks", whole(value)),
            "drop_blocks": lambda value: setattr(node.faults, "drop_blocks", whole(value)),
            "rpc_down": lambda value: setattr(node.faults, "rpc_down", bool(value)),
            "grpc_down": lambda value: setattr(node.faults, "grpc_down", bool(value)),
            "delay_seconds": lambda value: setattr(node.faults, "delay_seconds", float(value)),
            "fail_query": self._fail_query,
        }

    def status(self) -> dict[str, Any]:
        """Where the chain stands and what is wrong with it."""
        chain, faults = self._node.chain, self._node.faults
        latest = chain.latest
        return {
            "chain_id": chain.chain_id,
            "block": None if latest is None else block_form(latest),
            "block_time_seconds": self._node.block_time_seconds,
            "mempool_txs": len(chain.mempool),
            "subscriptions": len(self._node.bus),
            "faults": {
                "stalled": chain.faults.stalled,
                "delay_txs": chain.faults.delay_blocks,
                "lose_txs": chain.faults.lose_txs,
                "lag_blocks": faults.lag_blocks,
                "drop_blocks": faults.drop_blocks,
                "rpc_down": faults.rpc_down,
                "grpc_down": faults.grpc_down,
                "delay_seconds": faults.delay_seconds,
                "fail_query": sorted(faults.queries),
            },
        }

    async def step(self, blocks: int | None, until: int | None) -> dict[str, Any]:
        """Commit `blocks` more blocks, or as many as `until` needs; describes the tip."""
        count = blocks if until is None else until - self._node.chain.height
        if count is None:
            count = 1
        if not 0 <= count <= MAX_STEP_BLOCKS:
            raise ControlError(f"{count} blocks: a step is 0 to {MAX_STEP_BLOCKS} blocks")
        if count:
            return block_form(await self._node.step(count))
        return block_form(self._node.chain.block(self._node.chain.height))

    def clock(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change the time between blocks; null stops the clock."""
        seconds = body.get("block_time_seconds")
        if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
            raise ControlError("block_time_seconds must be a number above 0, or null")
        self._node.set_block_time(None if seconds is None else float(seconds))
        return self.status()

    def set_faults(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Set the faults that `body` names; the others stay."""
        unknown = sorted(set(body) - set(self._setters))
        if unknown:
            raise ControlError(f"unknown faults {unknown}; known: {sorted(self._setters)}")
        for name, value in body.items():
            try:
                self._setters[name](value)
            except (TypeError, ValueError, KeyError) as error:
                raise ControlError(f"{name}: {value!r} does not fit: {error}") from error
        return self.status()

    def govern(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Run one message with any authority in the next block."""
        fields = dict(body)
        type_url = str(fields.pop("@type", ""))
        message = self._message(type_url.removeprefix("/"))
        parse_into(message, fields)
        self._node.chain.govern(message)
        return {"height": self._node.chain.height + 1}

    def set_params(self, module: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change some params of a module from the next block on; the others keep their values."""
        if module not in PARAM_MODULES:
            raise ControlError(f"no module {module!r}; modules: {', '.join(PARAM_MODULES)}")
        request_pb = self._message(f"pocket.{module}.QueryParamsRequest")
        live = self._node.chain.query(f"/pocket.{module}.Query/Params", request_pb)
        update: Any = self._message(f"pocket.{module}.MsgUpdateParams")
        update.authority = module_address("gov")
        update.params.CopyFrom(live.params)
        parse_into(update.params, body)
        self._node.chain.govern(update)
        return {"height": self._node.chain.height + 1}

    @staticmethod
    def _message(full_name: str) -> Message:
        try:
            descriptor = _POOL.FindMessageTypeByName(full_name)
        except KeyError as error:
            raise ControlError(f"no message type {full_name!r}") from error
        return message_factory.GetMessageClass(descriptor)()

    def _set_stalled(self, value: Any) -> None:
        self._node.chain.faults.stalled = bool(value)

    def _refuse_txs(self, value: Any) -> None:
        self._node.chain.faults.refuse_txs(
            whole(value["count"]),
            whole(value["code"]),
            str(value.get("codespace", "sdk")),
            str(value.get("log", "refused by the devnet on purpose")),
        )

    def _fail_query(self, value: Any) -> None:
        fault = QueryFault(whole(value["code"]), str(value.get("text", "devnet: on purpose")))
        self._node.faults.fail_query(str(value["method"]), fault, whole(value.get("calls", 1)))


def whole(value: Any) -> int:
    """A whole number of 0 or more; ValueError or TypeError when it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a whole number is needed")
    if value < 0:
        raise ValueError("a number below 0")
    return value


def parse_into(message: Message, fields: Mapping[str, Any]) -> None:
    """Set the fields that a JSON object names.

    Raises:
        ControlError: a field is unknown or its value does not fit.
    """
    try:
        json_format.ParseDict(dict(fields), message)
    except json_format.ParseError as error:
        raise ControlError(str(error)) from error


def block_form(block: Block) -> dict[str, Any]:
    """A block as the control surface names it."""
    return {
        "height": block.height,
        "hash": hex_upper(block.hash),
        "time": time_text(block.time_ns),
    }
