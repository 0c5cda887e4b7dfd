"""All that `relayminer check` looks at, the outside world side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from relayminer.cli.checks.backends import check_backends
from relayminer.cli.checks.clock import judge
from relayminer.cli.checks.findings import FAIL, OK, WARN, Finding
from relayminer.cli.checks.limits import check_open_files
from relayminer.cli.checks.machine import check_keys, check_listen, check_tls
from relayminer.cli.checks.nodes import check_grpc_nodes, check_rpc_nodes
from relayminer.cli.checks.store import check_store
from relayminer.cli.checks.suppliers import check_suppliers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from relayminer.cli.checks.clock import Reading
    from relayminer.config.settings import Settings
    from relayminer.keys import SupplierKeys


async def check_everything(settings: Settings) -> list[Finding]:
    """All checks, told in their order."""
    findings = [Finding("configuration", OK, plural(len(settings.relayer.services)))]
    if not settings.relayer.services:
        remedy = "add relayer.services, if this is to be a relayer"
        findings[0] = Finding("configuration", WARN, "no services", remedy)
    keys, about_keys = check_keys(settings)
    findings += [about_keys, *check_listen(settings), *check_tls(settings.relayer.tls)]
    findings.append(check_open_files(settings))
    results: list[list[Finding]] = [[] for _ in range(3)]
    readings: list[Reading] = []

    async def collect(index: int, check: Callable[[], AsyncIterator[Finding]]) -> None:
        async for finding in check():
            results[index].append(finding)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, 0, lambda: check_store(settings, readings))
        nursery.start_soon(collect, 1, lambda: check_chain(settings, keys, readings))
        nursery.start_soon(collect, 2, lambda: check_backends(settings))
    findings.append(judge(readings))
    for result in results:
        findings += result
    return findings


def plural(services: int) -> str:
    """How many services, in words."""
    return "1 service" if services == 1 else f"{services} services"


async def check_chain(
    settings: Settings, keys: SupplierKeys, readings: list[Reading]
) -> AsyncIterator[Finding]:
    """The nodes answer, are of the right chain, are synced, and know our suppliers."""
    for finding in await check_rpc_nodes(settings, readings):
        yield finding
    about_grpc = await check_grpc_nodes(settings)
    for finding in about_grpc:
        yield finding
    if any(finding.result == FAIL for finding in about_grpc):
        return
    for finding in await check_suppliers(settings, keys):
        yield finding
