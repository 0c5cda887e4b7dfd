"""What a chain's genesis put on it, as the info file tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.base.query.v1beta1.pagination_pb2 import PageRequest

from relayminer.devnet.info import KEYS_FILE, DevnetInfo, Party
from relayminer.protocol.pb import application_pb2, gateway_pb2, service_pb2, supplier_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relayminer.devnet.chain import Chain
    from relayminer.devnet.options import DevnetOptions

PARTIES_MAX = 100_000


def describe(
    options: DevnetOptions,
    chain: Chain,
    *,
    rpc_url: str,
    grpc_url: str,
    control_url: str,
    backend_url: str,
    backend_grpc: str = "",
) -> DevnetInfo:
    """The info of a devnet whose first block is made."""
    page = PageRequest(limit=PARTIES_MAX)
    suppliers = chain.query(
        "/pocket.supplier.Query/AllSuppliers",
        supplier_pb2.QueryAllSuppliersRequest(pagination=page),
    ).supplier
    applications = chain.query(
        "/pocket.application.Query/AllApplications",
        application_pb2.QueryAllApplicationsRequest(pagination=page),
    ).applications
    gateways = chain.query(
        "/pocket.gateway.Query/AllGateways",
        gateway_pb2.QueryAllGatewaysRequest(pagination=page),
    ).gateways
    services = chain.query(
        "/pocket.service.Query/AllServices",
        service_pb2.QueryAllServicesRequest(pagination=page),
    ).service
    return DevnetInfo(
        chain_id=chain.chain_id,
        rpc_url=rpc_url,
        grpc_url=grpc_url,
        control_url=control_url,
        backend_url=backend_url,
        backend_grpc=backend_grpc,
        relayer_url=options.relayer_url,
        block_time_seconds=options.block_time_seconds,
        supplier_keys_file=str((options.home / KEYS_FILE).resolve()),
        service_ids=tuple(sorted(service.id for service in services)),
        suppliers=_parties(
            chain,
            "supplier",
            ((each.operator_address, _ids(each.services)) for each in suppliers),
        ),
        applications=_parties(
            chain, "app", ((each.address, _ids(each.service_configs)) for each in applications)
        ),
        gateways=_parties(chain, "gateway", ((each.address, ()) for each in gateways)),
        others=_others(chain),
    )


def _others(chain: Chain) -> tuple[Party, ...]:
    """The named accounts of the genesis that play none of the staking roles."""
    staking = ("supplier", "app", "gateway")
    accounts = sorted(chain.genesis.keys.names.items())
    named = [(address, ()) for name, address in accounts if not name.startswith(staking)]
    return _parties(chain, "account", named)


def _ids(configs: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(getattr(config, "service_id", "")) for config in configs}))


def _parties(
    chain: Chain, role: str, staked: Iterable[tuple[str, tuple[str, ...]]]
) -> tuple[Party, ...]:
    """Parties in the order of their names; keys where the genesis has them."""
    keys = chain.genesis.keys
    names = {address: name for name, address in keys.names.items()}
    parties = [
        Party(
            name=names.get(address, f"{role}-{address}"),
            address=address,
            secret_hex=keys.by_address.get(address, b"").hex(),
            service_ids=service_ids,
        )
        for address, service_ids in staked
    ]
    return tuple(sorted(parties, key=lambda party: (len(party.name), party.name)))
