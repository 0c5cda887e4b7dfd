"""Governance: MsgUpdateParams and MsgUpdateParam of every module, signed by the gov account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.devnet.chain import params
from relayminer.devnet.chain.accounts import GOV_ADDRESS
from relayminer.devnet.chain.codes import (
    PROOF_PARAM_INVALID,
    SERVICE_PARAM_INVALID,
    SESSION_PARAM_INVALID,
    SHARED_PARAM_INVALID,
)
from relayminer.devnet.chain.errors import GrpcCode, StatusError
from relayminer.protocol.pb import proof_pb2, service_pb2, session_pb2, shared_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from relayminer.devnet.chain.codes import Registered
    from relayminer.devnet.chain.context import Context

_INVALID_SIGNER = "expected gov account as only signer for proposal message"
_ONE_PARAM: dict[str, tuple[type[Message], Registered]] = {
    "shared": (shared_pb2.Params, SHARED_PARAM_INVALID),
    "session": (session_pb2.Params, SESSION_PARAM_INVALID),
    "proof": (proof_pb2.Params, PROOF_PARAM_INVALID),
    "service": (service_pb2.Params, SERVICE_PARAM_INVALID),
}
_DERIVED = frozenset({"session_grid_anchor_height", "session_number_at_anchor"})


def update_all(ctx: Context, message: Any) -> None:
    """Replace all parameters of the module that the message belongs to."""
    module = _module(message)
    _check_authority(message, GrpcCode.PERMISSION_DENIED)
    _apply(ctx, module, message.params)


def update_one(ctx: Context, message: Any) -> None:
    """Change one parameter by name, starting from the live ones."""
    module = _module(message)
    _check_authority(message, GrpcCode.INVALID_ARGUMENT)
    kind, invalid = _ONE_PARAM[module]
    wanted = kind()
    wanted.CopyFrom(params.live(ctx.store, module, kind))
    given = message.WhichOneof("as_type")
    known = kind.DESCRIPTOR.fields_by_name.get(message.name)
    if known is None or message.name in _DERIVED:
        text = invalid(f'unsupported param "{message.name}"').text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    if given is None:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, invalid("no value given").text)
    value = getattr(message, given)
    try:
        if known.message_type is None:
            setattr(wanted, message.name, value)
        else:
            getattr(wanted, message.name).CopyFrom(value)
    except (TypeError, ValueError) as error:
        text = invalid(f"unexpected param type {given} for {message.name}").text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text) from error
    _apply(ctx, module, wanted)


def _apply(ctx: Context, module: str, wanted: Message) -> None:
    if isinstance(wanted, shared_pb2.Params):
        problem = params.shared_problem(wanted)
        if problem is not None:
            raise StatusError(GrpcCode.INVALID_ARGUMENT, SHARED_PARAM_INVALID(problem).text)
        params.update_shared(ctx, wanted)
    elif isinstance(wanted, session_pb2.Params):
        if wanted.num_suppliers_per_session < 1:
            problem = "invalid NumSuppliersPerSession: (0)"
            raise StatusError(GrpcCode.INVALID_ARGUMENT, SESSION_PARAM_INVALID(problem).text)
        params.update_session(ctx, wanted)
    else:
        params.put(ctx.store, module, wanted)


def _check_authority(message: Any, code: GrpcCode) -> None:
    if message.authority != GOV_ADDRESS:
        raise StatusError(
            code,
            f"invalid authority; expected {GOV_ADDRESS}, got {message.authority}: "
            f"{_INVALID_SIGNER}",
        )


def _module(message: Message) -> str:
    name: str = message.DESCRIPTOR.full_name.split(".")[1]
    return name
