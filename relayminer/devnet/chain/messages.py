"""The messages that the chain takes: type URL, signer, stateless check, handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen
from cosmpy.protos.cosmos.bank.v1beta1.tx_pb2 import MsgSend, MsgSendResponse

from relayminer.devnet.chain import (
    handle_application,
    handle_bank,
    handle_params,
    handle_proof,
    handle_service,
    handle_supplier,
)
from relayminer.protocol.pb import (
    application_pb2,
    gateway_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
    tokenomics_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from relayminer.devnet.chain.context import Context


@frozen(slots=True)
class MessageKind:
    """How the chain treats one kind of message."""

    message_type: type[Message]
    response_type: type[Message]
    signer_field: str
    module: str
    handle: Callable[[Context, Any], None]
    """Runs the message; raises ChainError to refuse it."""
    check: Callable[[Any], None] | None = None
    """The stateless check that CheckTx makes too."""
    gas: int = 20_000
    """What the message costs at least, in gas."""


def _kind(
    message_type: type[Message],
    response_type: type[Message],
    signer_field: str,
    handle: Callable[[Context, Any], None],
    check: Callable[[Any], None] | None = None,
) -> tuple[str, MessageKind]:
    name = message_type.DESCRIPTOR.full_name
    module = name.split(".")[1]
    kind = MessageKind(message_type, response_type, signer_field, module, handle, check)
    return f"/{name}", kind


MESSAGES: dict[str, MessageKind] = dict(
    (
        _kind(
            proof_pb2.MsgCreateClaim,
            proof_pb2.MsgCreateClaimResponse,
            "supplier_operator_address",
            handle_proof.create_claim,
            handle_proof.check_create_claim,
        ),
        _kind(
            proof_pb2.MsgSubmitProof,
            proof_pb2.MsgSubmitProofResponse,
            "supplier_operator_address",
            handle_proof.submit_proof,
            handle_proof.check_submit_proof,
        ),
        _kind(MsgSend, MsgSendResponse, "from_address", handle_bank.send),
        _kind(
            supplier_pb2.MsgStakeSupplier,
            supplier_pb2.MsgStakeSupplierResponse,
            "signer",
            handle_supplier.stake,
            handle_supplier.check_stake,
        ),
        _kind(
            supplier_pb2.MsgUnstakeSupplier,
            supplier_pb2.MsgUnstakeSupplierResponse,
            "signer",
            handle_supplier.unstake,
            handle_supplier.check_unstake,
        ),
        _kind(
            application_pb2.MsgStakeApplication,
            application_pb2.MsgStakeApplicationResponse,
            "address",
            handle_application.stake,
            handle_application.check_stake,
        ),
        _kind(
            application_pb2.MsgUnstakeApplication,
            application_pb2.MsgUnstakeApplicationResponse,
            "address",
            handle_application.unstake,
        ),
        _kind(
            application_pb2.MsgDelegateToGateway,
            application_pb2.MsgDelegateToGatewayResponse,
            "app_address",
            handle_application.delegate,
            handle_application.check_delegation,
        ),
        _kind(
            application_pb2.MsgUndelegateFromGateway,
            application_pb2.MsgUndelegateFromGatewayResponse,
            "app_address",
            handle_application.undelegate,
            handle_application.check_delegation,
        ),
        _kind(
            service_pb2.MsgAddService,
            service_pb2.MsgAddServiceResponse,
            "owner_address",
            handle_service.add,
            handle_service.check_add,
        ),
        _kind(
            service_pb2.MsgTransferService,
            service_pb2.MsgTransferServiceResponse,
            "owner_address",
            handle_service.transfer,
        ),
        *(
            _kind(
                module.MsgUpdateParams,
                module.MsgUpdateParamsResponse,
                "authority",
                handle_params.update_all,
            )
            for module in (
                shared_pb2,
                session_pb2,
                proof_pb2,
                service_pb2,
                supplier_pb2,
                application_pb2,
                gateway_pb2,
                tokenomics_pb2,
            )
        ),
        *(
            _kind(
                module.MsgUpdateParam,
                module.MsgUpdateParamResponse,
                "authority",
                handle_params.update_one,
            )
            for module in (shared_pb2, session_pb2, proof_pb2, service_pb2)
        ),
    )
)
"""Every kind of message by type URL."""
