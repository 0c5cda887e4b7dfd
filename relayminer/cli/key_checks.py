"""Whether supplier keys can do their work: sign, be staked, pay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relayminer.chain.errors import ChainError, NotFoundError
from relayminer.chain.queries import ChainQueries
from relayminer.cli.findings import FAIL, OK, WARN, Finding
from relayminer.protocol.signature import verify_signature

if TYPE_CHECKING:
    from relayminer.config.settings import Settings
    from relayminer.keys.loading import SupplierKeys

_MESSAGE = b"a signature that must verify"


async def check_all(settings: Settings, keys: SupplierKeys) -> list[Finding]:
    """What is found of every key."""
    findings = []
    async with ChainQueries(settings.chain) as queries:
        for address in keys.addresses:
            key = keys[address]
            if not verify_signature(key.public_key, _MESSAGE, key.sign(_MESSAGE)):
                remedy = "make a new key: this one is damaged"
                findings.append(Finding(address, FAIL, "signs wrongly", remedy))
                continue
            findings.append(await _on_chain(queries, address, settings))
    return findings


async def _on_chain(queries: ChainQueries, address: str, settings: Settings) -> Finding:
    try:
        supplier = await queries.supplier(address)
        balance = await queries.balance(address)
        account = await queries.account(address)
    except NotFoundError:
        return Finding(address, WARN, "not staked, or never seen", "stake it, or take it out")
    except ChainError as error:
        return Finding(address, FAIL, str(error), "check the node")
    services = ", ".join(sorted(service.service_id for service in supplier.services)) or "nothing"
    found = f"staked for {services}; {balance:,} upokt for fees"
    if account.public_key is None:
        # Gateways check answers with it; the chain learns it from the first transaction.
        remedy = "send any transaction from it: until then gateways cannot check its answers"
        return Finding(address, FAIL, f"{found}; no public key on chain", remedy)
    least = settings.miner.balance.min_balance_upokt
    if balance < least:
        return Finding(address, WARN, found, f"send it some: less than {least:,} upokt")
    return Finding(address, OK, found)
