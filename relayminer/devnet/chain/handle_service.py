"""MsgAddService and MsgTransferService. Source: poktroll: x/service/keeper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relayminer.devnet.chain import bank, params, services, sessions
from relayminer.devnet.chain.codes import (
    SERVICE_INVALID_ADDRESS,
    SERVICE_INVALID_OWNER,
    SERVICE_NOT_ENOUGH_FUNDS,
    SERVICE_NOT_FOUND,
    SERVICE_UNAUTHORIZED,
    SHARED_INVALID_COMPUTE_UNITS,
    SHARED_INVALID_METADATA,
    SHARED_INVALID_SERVICE,
    SHARED_INVALID_SERVICE_NAME,
)
from relayminer.devnet.chain.errors import ChainError, GrpcCode, StatusError
from relayminer.devnet.chain.tables import SERVICES
from relayminer.devnet.chain.text import address_problem
from relayminer.protocol.pb import shared_pb2

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.protocol.pb import service_pb2

NAME_LENGTH_MAX = 169
COMPUTE_UNITS_MAX = 2 << 20
METADATA_BYTES_MAX = 256 * 1024
_NAME = re.compile(r"[a-zA-Z0-9\-_ ]*")


def check_add(message: service_pb2.MsgAddService) -> None:
    """What CheckTx refuses about a service."""
    problem = address_problem(message.owner_address)
    if problem is not None:
        raise SERVICE_INVALID_ADDRESS(
            f"invalid signer address {message.owner_address}; ({problem})"
        )
    service = message.service
    if service.owner_address != message.owner_address:
        raise SERVICE_INVALID_OWNER(
            f'service owner address "{service.owner_address}" does not match the signer address '
            f'"{message.owner_address}"'
        )
    sessions.check_service_id(service.id)
    if len(service.name) > NAME_LENGTH_MAX:
        raise SHARED_INVALID_SERVICE_NAME(
            f"service name '{service.name}' exceeds maximum length: {NAME_LENGTH_MAX}"
        )
    if not _NAME.fullmatch(service.name):
        raise SHARED_INVALID_SERVICE_NAME(
            f"service name '{service.name}' contains invalid characters"
        )
    units = service.compute_units_per_relay
    if units == 0 or units > COMPUTE_UNITS_MAX:
        limit = "greater than 0" if units == 0 else f"less than {COMPUTE_UNITS_MAX}"
        inner = SHARED_INVALID_COMPUTE_UNITS(f"compute units per relay must be {limit}")
        raise SHARED_INVALID_SERVICE(inner.text)
    if service.HasField("metadata"):
        _check_metadata(service.metadata.card)


def _check_metadata(card: bytes) -> None:
    if not card:
        raise SHARED_INVALID_METADATA("metadata card must not be empty")
    if len(card) > METADATA_BYTES_MAX:
        raise SHARED_INVALID_METADATA(
            f"metadata card exceeds maximum size: got {len(card)} bytes, max "
            f"{METADATA_BYTES_MAX} bytes"
        )


def add(ctx: Context, message: service_pb2.MsgAddService) -> None:
    """Add a service for a fee, or change the one that the signer owns."""
    try:
        check_add(message)
    except ChainError as error:
        raise StatusError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    known = services.find(ctx.store, message.service.id)
    if known is not None:
        _change(ctx, known, message.service)
        return
    fee = bank.amount_of(params.service(ctx.store).add_service_fee)
    held = bank.balance(ctx, message.owner_address)
    if held <= fee:
        detail = (
            f"account has {held}, but the service fee is {bank.coin_text(fee)}"
            if held
            else "account has no spendable coins"
        )
        text = SERVICE_NOT_ENOUGH_FUNDS(detail).text
        raise StatusError(GrpcCode.FAILED_PRECONDITION, text)
    bank.send_to_module(ctx, message.owner_address, "service", bank.upokt(fee))
    services.record_new(ctx, message.service)


def _change(ctx: Context, known: shared_pb2.Service, wanted: shared_pb2.Service) -> None:
    if known.owner_address != wanted.owner_address:
        text = SERVICE_INVALID_OWNER(
            f'existing owner address "{known.owner_address}" does not match the new owner '
            f'address "{wanted.owner_address}"'
        ).text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    changed = shared_pb2.Service()
    changed.CopyFrom(known)
    changed.name = wanted.name
    changed.compute_units_per_relay = wanted.compute_units_per_relay
    if wanted.HasField("metadata"):
        changed.metadata.CopyFrom(wanted.metadata)
    services.record_change(ctx, known, changed)


def transfer(ctx: Context, message: service_pb2.MsgTransferService) -> None:
    """Give a service to another owner."""
    known = services.find(ctx.store, message.service_id)
    if known is None:
        text = SERVICE_NOT_FOUND(f'service ID not found: "{message.service_id}"').text
        raise StatusError(GrpcCode.NOT_FOUND, text)
    if known.owner_address != message.owner_address:
        text = SERVICE_UNAUTHORIZED(
            f'signer "{message.owner_address}" does not own service "{known.id}"'
        ).text
        raise StatusError(GrpcCode.PERMISSION_DENIED, text)
    problem = address_problem(message.new_owner_address)
    if problem is not None:
        text = SERVICE_INVALID_OWNER(f'"{message.new_owner_address}"; ({problem})').text
        raise StatusError(GrpcCode.INVALID_ARGUMENT, text)
    changed = shared_pb2.Service()
    changed.CopyFrom(known)
    changed.owner_address = message.new_owner_address
    ctx.store.set(SERVICES, known.id, changed)
