"""What suppliers are staked for, compared with the backends that are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from relayminer.chain.errors import NotFoundError
from relayminer.chain.queries import ChainQueries
from relayminer.keys.errors import KeyLoadError
from relayminer.keys.loading import load_keys
from relayminer.plugin.registry import load_key_providers
from relayminer.protocol.pb import shared_pb2

if TYPE_CHECKING:
    from relayminer.config.settings import Settings

BACKENDS = {
    shared_pb2.GRPC: "grpc",
    shared_pb2.WEBSOCKET: "websocket",
    shared_pb2.JSON_RPC: "jsonrpc",
    shared_pb2.REST: "rest",
    shared_pb2.COMET_BFT: "cometbft",
}
"""RPC type on chain -> name of a backend."""


async def compare_stake(settings: Settings) -> bool:
    """Print every staked service and type without a backend; whether there is none.

    Raises:
        ChainError: the node does not answer.
        KeyLoadError: a key cannot be read, or there is none.
    """
    keys = load_keys(settings.keys, load_key_providers().values())
    if not keys:
        raise KeyLoadError(["no supplier key: set keys.keys_file, keys.keys_dir or keys.keyring"])
    good = True
    async with ChainQueries(settings.chain) as queries:
        click.echo(f"checking {len(keys)} suppliers through {settings.chain.grpc_url}")
        for address in keys.addresses:
            try:
                supplier = await queries.supplier(address)
            except NotFoundError:
                click.echo(f"info: supplier {address} is not staked")
                continue
            missing = unserved(settings, supplier)
            good = good and not missing
            for service, backend in missing:
                click.echo(
                    f"ERROR: supplier {address} is staked for {service} over {backend}, and "
                    f"relayer.services.{service}.backends has no {backend}"
                )
    return good


def unserved(settings: Settings, supplier: shared_pb2.Supplier) -> list[tuple[str, str]]:
    """(service, backend) pairs that a supplier is staked for and we do not serve."""
    staked = {
        (service.service_id, BACKENDS[endpoint.rpc_type])
        for service in supplier.services
        for endpoint in service.endpoints
        if endpoint.rpc_type in BACKENDS
    }
    served = {
        (service_id, backend)
        for service_id, service in settings.relayer.services.items()
        for backend in service.backends
    }
    return sorted(staked - served)
