"""The queries of the Pocket modules, with the server's behaviours (wire 7.3, 7.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relayminer.devnet.chain import applications, params, services, sessions, suppliers
from relayminer.devnet.chain.codes import (
    APPLICATION_NOT_FOUND,
    PROOF_CLAIM_NOT_FOUND,
    PROOF_INVALID_ADDRESS,
    PROOF_INVALID_SESSION_ID,
    PROOF_NOT_FOUND,
    SERVICE_NOT_FOUND,
    SUPPLIER_INVALID_ADDRESS,
    SUPPLIER_NOT_FOUND,
)
from relayminer.devnet.chain.errors import ChainError, GrpcCode, QueryError
from relayminer.devnet.chain.paging import page
from relayminer.devnet.chain.tables import (
    APPLICATIONS,
    CLAIMS,
    COMPUTE_UNITS,
    DIFFICULTIES,
    DIFFICULTY_HISTORY,
    GATEWAYS,
    PROOFS,
    SERVICES,
    SUPPLIERS,
)
from relayminer.devnet.chain.text import address_problem
from relayminer.protocol.pb import (
    application_pb2,
    gateway_pb2,
    proof_pb2,
    service_pb2,
    session_pb2,
    shared_pb2,
    supplier_pb2,
)

if TYPE_CHECKING:
    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.store import Table


def shared_at_height(
    ctx: Context, request: shared_pb2.QueryParamsAtHeightRequest
) -> shared_pb2.QueryParamsAtHeightResponse:
    """Shared parameters in force at a height."""
    _not_negative(request.height, "height")
    return shared_pb2.QueryParamsAtHeightResponse(
        params=params.shared_at(ctx.store, request.height)
    )


def get_session(
    ctx: Context, request: session_pb2.QueryGetSessionRequest
) -> session_pb2.QueryGetSessionResponse:
    """A session; whatever hinders its hydration is INTERNAL."""
    address, service_id = request.application_address, request.service_id
    height = request.block_height
    try:
        sessions.check_request(address, service_id, height)
    except ChainError as error:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, error.text) from error
    try:
        session = sessions.hydrate(ctx, address, service_id, height or ctx.height)
    except ChainError as error:
        raise QueryError(GrpcCode.INTERNAL, error.text) from error
    return session_pb2.QueryGetSessionResponse(session=session)


def application(
    ctx: Context, request: application_pb2.QueryGetApplicationRequest
) -> application_pb2.QueryGetApplicationResponse:
    """An application by address."""
    found = applications.find(ctx.store, request.address)
    if found is None:
        text = APPLICATION_NOT_FOUND(f"app address: {request.address}").text
        raise QueryError(GrpcCode.NOT_FOUND, text)
    return application_pb2.QueryGetApplicationResponse(application=found)


def all_applications(
    ctx: Context, request: application_pb2.QueryAllApplicationsRequest
) -> application_pb2.QueryAllApplicationsResponse:
    """Applications, all or those that delegate to one gateway."""
    gateway = request.delegatee_gateway_address
    entries = (
        (key, each)
        for key, each in ctx.store.items(APPLICATIONS)
        if not gateway or gateway in each.delegatee_gateway_addresses
    )
    found, pagination = page(entries, request.pagination)
    return application_pb2.QueryAllApplicationsResponse(applications=found, pagination=pagination)


def gateway(
    ctx: Context, request: gateway_pb2.QueryGetGatewayRequest
) -> gateway_pb2.QueryGetGatewayResponse:
    """A gateway by address."""
    found = ctx.store.get(GATEWAYS, request.address)
    if found is None:
        raise QueryError(GrpcCode.NOT_FOUND, f"gateway not found: address {request.address}")
    return gateway_pb2.QueryGetGatewayResponse(gateway=found)


def all_gateways(
    ctx: Context, request: gateway_pb2.QueryAllGatewaysRequest
) -> gateway_pb2.QueryAllGatewaysResponse:
    """Gateways."""
    found, pagination = page(ctx.store.items(GATEWAYS), request.pagination)
    return gateway_pb2.QueryAllGatewaysResponse(gateways=found, pagination=pagination)


def supplier(
    ctx: Context, request: supplier_pb2.QueryGetSupplierRequest
) -> supplier_pb2.QueryGetSupplierResponse:
    """A supplier by operator address, with the services active now."""
    found = suppliers.hydrated(ctx.store, request.operator_address, ctx.height)
    if found is None:
        detail = f'supplier with operator address: "{request.operator_address}"'
        raise QueryError(GrpcCode.NOT_FOUND, SUPPLIER_NOT_FOUND(detail).text)
    if request.dehydrated:
        _dehydrate(found)
    return supplier_pb2.QueryGetSupplierResponse(supplier=found)


def all_suppliers(
    ctx: Context, request: supplier_pb2.QueryAllSuppliersRequest
) -> supplier_pb2.QueryAllSuppliersResponse:
    """Suppliers, all or of one service, operator or owner."""
    for role in ("operator", "owner"):
        address = getattr(request, f"{role}_address")
        problem = address_problem(address) if address else None
        if problem is not None:
            text = SUPPLIER_INVALID_ADDRESS(f"invalid {role} address {address}; ({problem})").text
            raise QueryError(GrpcCode.INVALID_ARGUMENT, text)
    entries = []
    for operator, record in ctx.store.items(SUPPLIERS):
        if request.operator_address and operator != request.operator_address:
            continue
        if request.owner_address and record.owner_address != request.owner_address:
            continue
        found = suppliers.hydrated(ctx.store, operator, ctx.height)
        if found is None or (
            request.service_id
            and all(each.service_id != request.service_id for each in found.services)
        ):
            continue
        if request.dehydrated:
            _dehydrate(found)
        entries.append((operator, found))
    chosen, pagination = page(entries, request.pagination)
    return supplier_pb2.QueryAllSuppliersResponse(supplier=chosen, pagination=pagination)


def _dehydrate(found: shared_pb2.Supplier) -> None:
    found.ClearField("service_config_history")
    for config in found.services:
        config.ClearField("rev_share")


def service(
    ctx: Context, request: service_pb2.QueryGetServiceRequest
) -> service_pb2.QueryGetServiceResponse:
    """A service by id."""
    found = services.find(ctx.store, request.id)
    if found is None:
        raise QueryError(GrpcCode.NOT_FOUND, f'service ID not found: "{request.id}"')
    return service_pb2.QueryGetServiceResponse(service=_shown(found, dehydrated=request.dehydrated))


def all_services(
    ctx: Context, request: service_pb2.QueryAllServicesRequest
) -> service_pb2.QueryAllServicesResponse:
    """Services."""
    found, pagination = page(ctx.store.items(SERVICES), request.pagination)
    shown = [_shown(each, dehydrated=request.dehydrated) for each in found]
    return service_pb2.QueryAllServicesResponse(service=shown, pagination=pagination)


def _shown(found: shared_pb2.Service, *, dehydrated: bool) -> shared_pb2.Service:
    if not dehydrated:
        return found
    copied = shared_pb2.Service()
    copied.CopyFrom(found)
    copied.ClearField("metadata")
    return copied


def difficulty(
    ctx: Context, request: service_pb2.QueryGetRelayMiningDifficultyRequest
) -> service_pb2.QueryGetRelayMiningDifficultyResponse:
    """The newest difficulty of a service."""
    _known_service(ctx, request.serviceId)
    return service_pb2.QueryGetRelayMiningDifficultyResponse(
        relayMiningDifficulty=services.latest_difficulty(ctx.store, request.serviceId, ctx.height)
    )


def all_difficulties(
    ctx: Context, request: service_pb2.QueryAllRelayMiningDifficultyRequest
) -> service_pb2.QueryAllRelayMiningDifficultyResponse:
    """The stored difficulties."""
    found, pagination = page(ctx.store.items(DIFFICULTIES), request.pagination)
    return service_pb2.QueryAllRelayMiningDifficultyResponse(
        relayMiningDifficulty=found, pagination=pagination
    )


def difficulty_at_height(
    ctx: Context, request: service_pb2.QueryGetRelayMiningDifficultyAtHeightRequest
) -> service_pb2.QueryGetRelayMiningDifficultyAtHeightResponse:
    """The difficulty of a service in force at a height."""
    _service_and_height(ctx, request.serviceId, request.blockHeight)
    return service_pb2.QueryGetRelayMiningDifficultyAtHeightResponse(
        relayMiningDifficulty=services.difficulty_at(
            ctx.store, request.serviceId, request.blockHeight
        )
    )


def difficulty_history(
    ctx: Context, request: service_pb2.QueryRelayMiningDifficultyHistoryRequest
) -> service_pb2.QueryRelayMiningDifficultyHistoryResponse:
    """All difficulties of a service with the heights from which they hold."""
    _service_and_height(ctx, request.serviceId, 0)
    entries = (
        (
            effective,
            service_pb2.RelayMiningDifficultyUpdate(effective_height=effective, difficulty=each),
        )
        for (service_id, effective), each in ctx.store.items(DIFFICULTY_HISTORY)
        if service_id == request.serviceId
    )
    found, pagination = page(entries, request.pagination)
    return service_pb2.QueryRelayMiningDifficultyHistoryResponse(
        history=found, pagination=pagination
    )


def compute_units_at_height(
    ctx: Context, request: service_pb2.QueryComputeUnitsPerRelayAtHeightRequest
) -> service_pb2.QueryComputeUnitsPerRelayAtHeightResponse:
    """Compute units per relay of a service at a height."""
    _service_and_height(ctx, request.serviceId, request.blockHeight)
    units = services.compute_units_at(ctx.store, request.serviceId, request.blockHeight)
    return service_pb2.QueryComputeUnitsPerRelayAtHeightResponse(computeUnitsPerRelay=units or 0)


def compute_units_history(
    ctx: Context, request: service_pb2.QueryComputeUnitsPerRelayHistoryRequest
) -> service_pb2.QueryComputeUnitsPerRelayHistoryResponse:
    """All compute units of a service with the heights from which they hold."""
    _service_and_height(ctx, request.serviceId, 0)
    entries = (
        (
            effective,
            service_pb2.ServiceComputeUnitsPerRelayUpdate(
                effective_height=effective, service_id=service_id, compute_units_per_relay=units
            ),
        )
        for (service_id, effective), units in ctx.store.items(COMPUTE_UNITS)
        if service_id == request.serviceId
    )
    found, pagination = page(entries, request.pagination)
    return service_pb2.QueryComputeUnitsPerRelayHistoryResponse(
        history=found, pagination=pagination
    )


def claim(ctx: Context, request: proof_pb2.QueryGetClaimRequest) -> proof_pb2.QueryGetClaimResponse:
    """A claim by session and supplier."""
    found = _claim_or_proof(ctx, CLAIMS, request, "claim")
    return proof_pb2.QueryGetClaimResponse(claim=found)


def proof(ctx: Context, request: proof_pb2.QueryGetProofRequest) -> proof_pb2.QueryGetProofResponse:
    """A proof by session and supplier; proofs last no longer than their block."""
    found = _claim_or_proof(ctx, PROOFS, request, "proof")
    return proof_pb2.QueryGetProofResponse(proof=found)


def all_claims(
    ctx: Context, request: proof_pb2.QueryAllClaimsRequest
) -> proof_pb2.QueryAllClaimsResponse:
    """Claims, all or of one supplier, session or session end."""
    found, pagination = page(_filtered(ctx, CLAIMS, request, "claims"), request.pagination)
    return proof_pb2.QueryAllClaimsResponse(claims=found, pagination=pagination)


def all_proofs(
    ctx: Context, request: proof_pb2.QueryAllProofsRequest
) -> proof_pb2.QueryAllProofsResponse:
    """Proofs, all or of one supplier or session; the filter by session end finds nothing."""
    entries = _filtered(ctx, PROOFS, request, "proofs")
    if request.WhichOneof("filter") == "session_end_height":
        entries = []
    found, pagination = page(entries, request.pagination)
    return proof_pb2.QueryAllProofsResponse(proofs=found, pagination=pagination)


def _claim_or_proof(
    ctx: Context, table: Table[tuple[str, str], Any], request: Any, noun: str
) -> Any:
    _supplier_address(request.supplier_operator_address, noun)
    if not request.session_id:
        text = PROOF_INVALID_SESSION_ID(f"invalid empty session ID for {noun} being retrieved").text
        raise QueryError(GrpcCode.INVALID_ARGUMENT, text)
    found = ctx.store.get(table, (request.session_id, request.supplier_operator_address))
    if found is None:
        missing = PROOF_CLAIM_NOT_FOUND if noun == "claim" else PROOF_NOT_FOUND
        detail = (
            f'session ID "{request.session_id}" and supplier "{request.supplier_operator_address}"'
        )
        raise QueryError(GrpcCode.NOT_FOUND, missing(detail).text)
    return found


def _filtered(
    ctx: Context, table: Table[tuple[str, str], Any], request: Any, noun: str
) -> list[tuple[tuple[str, str], Any]]:
    kind = request.WhichOneof("filter")
    if kind == "supplier_operator_address":
        _supplier_address(request.supplier_operator_address, noun)
    if kind == "session_id" and not request.session_id:
        text = PROOF_INVALID_SESSION_ID(f"invalid empty session ID for {noun} being retrieved").text
        raise QueryError(GrpcCode.INVALID_ARGUMENT, text)
    return [
        (key, each)
        for key, each in ctx.store.items(table)
        if kind is None
        or (kind == "supplier_operator_address" and key[1] == request.supplier_operator_address)
        or (kind == "session_id" and key[0] == request.session_id)
        or (
            kind == "session_end_height"
            and each.session_header.session_end_block_height == request.session_end_height
        )
    ]


def _supplier_address(address: str, noun: str) -> None:
    problem = address_problem(address)
    if problem is not None:
        text = PROOF_INVALID_ADDRESS(
            f"invalid supplier operator address for {noun} being retrieved {address}; ({problem})"
        ).text
        raise QueryError(GrpcCode.INVALID_ARGUMENT, text)


def _service_and_height(ctx: Context, service_id: str, height: int) -> None:
    if not service_id:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, "service ID is required")
    _not_negative(height, "block height")
    _known_service(ctx, service_id)


def _known_service(ctx: Context, service_id: str) -> None:
    if services.find(ctx.store, service_id) is None:
        raise QueryError(GrpcCode.NOT_FOUND, SERVICE_NOT_FOUND(f"serviceID: {service_id}").text)


def _not_negative(height: int, name: str) -> None:
    if height < 0:
        raise QueryError(GrpcCode.INVALID_ARGUMENT, f"{name} must be non-negative")
