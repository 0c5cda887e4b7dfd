"""`relayminer status`: how far the chain is, for cosmovisor and for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from relayminer.cli.options import json_option, load_settings, overrides, settings_options

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.chain.rpc import NodeStatus
    from relayminer.config.settings import Settings

PATIENCE_SECONDS = 30.0
"""Cosmovisor takes an error for any height, and changes versions at once: a node may be restarting
just then, so it is asked for some time."""
_PAUSE_SECONDS = 1.0


@click.command(epilog="Example: relayminer status --config relayminer.yaml")
@settings_options
@json_option
def status(*, config: Path | None, as_json: bool, **flags: Any) -> None:
    """Print the node's chain and height, as the Cosmos SDK's `status` does: always JSON.

    Cosmovisor calls it to know whether the height of an upgrade is reached, without `--config`:
    name the file in RELAYMINER_CONFIG.
    """
    import trio  # noqa: PLC0415 - quick --help

    del as_json
    found = trio.run(ask, load_settings(config, overrides(**flags)))
    sync = {
        "latest_block_height": str(found.latest_height),
        "latest_block_hash": found.latest_hash.hex().upper(),
        "catching_up": found.catching_up,
    }
    # Older and newer versions look for it under different names.
    network = {"network": found.chain_id}
    click.echo(
        json.dumps({"node_info": network, "NodeInfo": network, "sync_info": sync, "SyncInfo": sync})
    )


async def ask(settings: Settings) -> NodeStatus:
    """What the best node says of itself.

    Raises:
        ChainError: no node answers, for `PATIENCE_SECONDS`.
    """
    import trio  # noqa: PLC0415 - quick --help

    from relayminer.chain.errors import ChainError  # noqa: PLC0415
    from relayminer.chain.rpc_nodes import RpcNodes  # noqa: PLC0415
    from relayminer.chain.standing import NodeBoard  # noqa: PLC0415

    nodes = RpcNodes(settings.chain, NodeBoard())
    deadline = trio.current_time() + PATIENCE_SECONDS
    try:
        while True:
            try:
                return await nodes.status()
            except ChainError:
                if trio.current_time() + _PAUSE_SECONDS > deadline:
                    raise
            await trio.sleep(_PAUSE_SECONDS)
    finally:
        nodes.close()
