"""The steps of one relay, as a gateway takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from relayminer.devnet.gateway import Gateway
from relayminer.devnet.http_client import HttpClient
from relayminer.devnet.info import Party, read_info
from relayminer.errors import RelayMinerError
from relayminer.gateway.chain import GatewayChain, OpenSession
from relayminer.gateway.relays import jsonrpc_payload
from relayminer.keys.files import Found, parse_hex_key, read_secret_file, read_yaml
from relayminer.protocol.address import address_of
from relayminer.protocol.codec import decode
from relayminer.protocol.pb import service_pb2
from relayminer.protocol.relay import request_hash
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from relayminer.devnet.gateway import RelayRecord

MAX_SHOWN_CHARACTERS = 500


class RelayInputError(RelayMinerError):
    """What was asked for cannot be sent."""


@frozen(kw_only=True)
class RelayOptions:
    """What the command line says; empty texts mean the default."""

    service: str
    devnet_home: Path
    node: str
    application: str
    keys_file: Path | None
    supplier: str
    url: str
    method: str
    params: Any
    timeout: float


@frozen
class Step:
    """One step and what can be seen of it."""

    title: str
    ok: bool
    details: Sequence[str] = ()


@define
class Outcome:
    """All steps that were taken, and how it ended."""

    steps: list[Step] = field(factory=list)
    ok: bool = False
    error: str = ""
    body: str = ""
    latency_seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "error": self.error,
            "body": self.body,
            "latency_ms": round(self.latency_seconds * 1000, 3),
            "steps": [
                {"title": step.title, "ok": step.ok, "details": list(step.details)}
                for step in self.steps
            ],
        }


@frozen
class Sender:
    """Who sends, and where the chain is."""

    node: str
    service: str
    application: str
    key: SigningKey = field(repr=False)


async def send_one(options: RelayOptions) -> Outcome:
    """Send one relay; what fails is in the outcome.

    Raises:
        RelayInputError: keys or names are missing.
        DevnetError: no devnet where one was expected, or the chain refused a question.
    """
    sender = sender_of(options)
    outcome = Outcome()
    async with GatewayChain(sender.node) as chain, HttpClient() as http:
        session = await chain.open_session(sender.service, sender.application)
        outcome.steps.append(_session_step(session))
        supplier = options.supplier or next(iter(session.endpoints), "")
        if supplier not in session.endpoints:
            there = ", ".join(session.endpoints) or "nobody"
            raise RelayInputError(
                f"{supplier or 'no supplier'} has no JSON-RPC endpoint in this session: {there}"
            )
        outcome.steps.append(_ring_step(session, sender))
        gateway = Gateway(sender.key, http, timeout_seconds=options.timeout)
        payload = jsonrpc_payload(options.method, options.params)
        signed = gateway.sign(session, supplier, payload)
        outcome.steps.append(_signature_step(signed, payload, sender))
        url = options.url or session.endpoints[supplier].url
        record = await gateway.send(session, supplier, signed, url=options.url)
    outcome.steps.extend(_answer_steps(record, url, supplier, len(signed)))
    outcome.ok, outcome.error = record.ok, record.error
    outcome.body = record.body.decode("utf-8", "replace")[:MAX_SHOWN_CHARACTERS]
    outcome.latency_seconds = record.latency_seconds
    return outcome


def sender_of(options: RelayOptions) -> Sender:
    """Who sends: a devnet's accounts, or those of a key file against a real chain."""
    if not options.node:
        return _devnet_sender(options)
    if options.keys_file is None:
        raise RelayInputError("--node needs --keys-file: a relay is signed with a real key")
    application, gateway = _keys_of(options.keys_file)
    if application is None and not options.application:
        raise RelayInputError(
            "name the application: --application pokt1..., or its key in the file"
        )
    key = gateway or application
    if key is None:
        raise RelayInputError(f"{options.keys_file} has no key to sign with")
    if not options.service:
        raise RelayInputError("--node needs --service")
    address = options.application or (application.address if application else "")
    return Sender(options.node, options.service, address, key)


def _devnet_sender(options: RelayOptions) -> Sender:
    info = read_info(options.devnet_home)
    service = options.service or info.service_ids[0]
    named: list[Party] = [
        party
        for party in info.applications
        if (party.address == options.application if options.application else True)
        and service in party.service_ids
    ]
    if not named:
        raise RelayInputError(
            f"no application of this devnet is staked for {service!r}: services are"
            f" {', '.join(info.service_ids)}"
        )
    signer = info.gateways[0] if info.gateways else named[0]
    return Sender(info.grpc_url, service, named[0].address, SigningKey(signer.secret))


def _keys_of(path: Path) -> tuple[SigningKey | None, SigningKey | None]:
    """The application's and the gateway's key of a client key file (crypto.md 2.9)."""
    found = Found()
    data = read_secret_file(path, found)
    document = read_yaml(path, data, found) if data is not None else None
    fields = document if isinstance(document, dict) else {}
    application = _only_key(path, fields, ("applications",), found)
    gateway = _only_key(path, fields, ("gateway", "gateways"), found)
    if found.problems:
        raise RelayInputError("; ".join(found.problems))
    return application, gateway


def _only_key(
    path: Path, fields: dict[str, Any], names: tuple[str, ...], found: Found
) -> SigningKey | None:
    """The one key under `names`, each a text or a list; None when there is none."""
    entries: list[Any] = []
    for name in names:
        value = fields.get(name) or []
        entries += value if isinstance(value, list) else [value]
    if not entries:
        return None
    if len(entries) > 1:
        found.problems.append(f"{path}: more than one key under {' and '.join(names)}")
    entry = entries[0]
    # White space first, then the prefix in either case: other than in a supplier's key file.
    text = entry.strip().removeprefix("0X") if isinstance(entry, str) else entry
    return parse_hex_key(f"{path}: {names[0]}", text, found)


def _session_step(session: OpenSession) -> Step:
    header = session.header
    start, end = header.session_start_block_height, header.session_end_block_height
    return Step(
        "the chain says which suppliers serve this application now",
        ok=True,
        details=(
            f"service {header.service_id}, application {header.application_address}",
            f"session {header.session_id}, blocks {start} to {end}",
            f"{len(session.endpoints)} suppliers with a JSON-RPC endpoint",
        ),
    )


def _ring_step(session: OpenSession, sender: Sender) -> Step:
    ring = [address_of(member) for member in session.ring]
    member = sender.key.address in ring
    return Step(
        "the ring: any of these may sign for the application, and nobody can tell who did",
        ok=member,
        details=(
            *ring,
            f"signing as {sender.key.address}"
            + ("" if member else ", which is NOT in the ring: the relayer has to refuse"),
        ),
    )


def _signature_step(signed: bytes, payload: bytes, sender: Sender) -> Step:
    request = decode(service_pb2.RelayRequest, signed)
    return Step(
        "the request is signed with the ring",
        ok=True,
        details=(
            f"payload {len(payload)} bytes: a POST with the JSON-RPC call",
            f"signed hash {request_hash(request).hex()}",
            f"ring signature {len(request.meta.signature)} bytes, key of {sender.key.address}",
        ),
    )


def _answer_steps(record: RelayRecord, url: str, supplier: str, size: int) -> list[Step]:
    sent = f"POST {url}, {size} bytes, to supplier {supplier}"
    if not record.ok and not record.status:
        remedy = "is `relayminer run` up there, serving this service with this supplier's key?"
        return [Step("the relayer answers", ok=False, details=(sent, record.error, remedy))]
    return [
        Step("the relayer answers", ok=True, details=(sent,)),
        Step(
            "the answer is the supplier's: session, signature and payload hash are right", ok=True
        ),
        Step(
            "the backend answers",
            ok=record.ok,
            details=(f"HTTP status {record.status}, {len(record.body)} bytes",),
        ),
    ]
