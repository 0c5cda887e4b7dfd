"""What the chain has done with the relays, read from its blocks."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import AuthInfo, TxBody, TxRaw

from relayminer.demo.children import DemoError
from relayminer.protocol.codec import decode
from relayminer.protocol.pb import proof_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relayminer.demo.rows import Row, Rows
    from relayminer.devnet.http_client import HttpClient

CLAIM_CREATED = "pocket.proof.EventClaimCreated"
PROOF_CHECKED = "pocket.proof.EventProofValidityChecked"
CLAIM_SETTLED = "pocket.tokenomics.EventClaimSettled"
SLASHED = "pocket.tokenomics.EventSupplierSlashed"
CREATE_CLAIM = "/pocket.proof.MsgCreateClaim"
SUBMIT_PROOF = "/pocket.proof.MsgSubmitProof"
VALIDATOR_PAID = "pocket.tokenomics.EventValidatorRewardDistribution"


class ChainTruth:
    """Reads blocks one after another into the rows.

    Args:
        rpc_url: CometBFT RPC of the chain.
        rows: the rows to fill.
        proof_fee_upokt: what each submitted proof costs beside its transaction's fee.

    Attributes:
        height: the last height that has been read.
        fees_upokt: transaction and proof fees by the account that paid them, all transactions.
        validators: accounts that got the proposers' share.
    """

    def __init__(self, rpc_url: str, http: HttpClient, rows: Rows, *, proof_fee_upokt: int) -> None:
        self.height = 0
        self.fees_upokt: defaultdict[str, int] = defaultdict(int)
        self.validators: set[str] = set()
        self._rpc_url = rpc_url
        self._http = http
        self._rows = rows
        self._proof_fee_upokt = proof_fee_upokt

    async def tip(self) -> int:
        """The chain's height now."""
        status = await self._call("status", {})
        return int(status["sync_info"]["latest_block_height"])

    async def read_to(self, height: int) -> None:
        """Read every block up to `height` that has not been read."""
        while self.height < height:
            at = {"height": str(self.height + 1)}
            block = await self._call("block", at)
            results = await self._call("block_results", at)
            self._read_block(block, results)
            self.height += 1

    async def _call(self, method: str, params: dict[str, str]) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self._http.request(
            "POST",
            self._rpc_url,
            headers=(("Content-Type", "application/json"),),
            body=json.dumps(request).encode(),
        )
        document = json.loads(answer.body)
        if "error" in document:
            raise DemoError(f"the chain refused {method} {params}: {document['error']}")
        result: dict[str, Any] = document["result"]
        return result

    def _read_block(self, block: dict[str, Any], results: dict[str, Any]) -> None:
        txs = [base64.b64decode(text) for text in block["block"]["data"]["txs"]]
        for tx, result in zip(txs, results["txs_results"] or [], strict=True):
            self._read_transaction(tx, result)
        for kind, values in events(results["finalize_block_events"] or []):
            self._read_event(kind, values)

    def _read_transaction(self, tx: bytes, result: dict[str, Any]) -> None:
        raw = TxRaw.FromString(tx)
        body, auth = TxBody.FromString(raw.body_bytes), AuthInfo.FromString(raw.auth_info_bytes)
        messages = [
            message for each in body.messages if (message := miner_message(each)) is not None
        ]
        if not messages:
            return
        fee = sum(int(coin.amount) for coin in auth.fee.amount)
        payer = messages[0].supplier_operator_address
        self.fees_upokt[payer] += fee
        good = int(result["code"]) == 0
        for number, message in enumerate(messages):
            row = self._rows.get(payer, message.session_header.session_id)
            # A transaction's fee is shared among its messages; the first takes the remainder.
            share = fee // len(messages) + (fee % len(messages) if number == 0 else 0)
            if isinstance(message, proof_pb2.MsgSubmitProof) and good:
                share += self._proof_fee_upokt
                self.fees_upokt[payer] += self._proof_fee_upokt
            if row is None:
                continue
            row.fees_upokt += share
            if isinstance(message, proof_pb2.MsgCreateClaim):
                row.claimed_roots.add(message.root_hash)
        if good:
            for kind, values in events(result["events"]):
                self._read_event(kind, values)

    def _read_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == CLAIM_CREATED:
            self._rows.of_event(values).claimed = int(values["num_relays"])
        elif kind == PROOF_CHECKED:
            row = self._rows.of_event(values)
            if values["failure_reason"]:
                row.failures.append(f"proof invalid: {values['failure_reason']}")
            else:
                row.proven = row.claimed
        elif kind == CLAIM_SETTLED:
            self._settle(self._rows.of_event(values), values)
        elif kind == VALIDATOR_PAID:
            self.validators.add(values["validator_account_address"])
        elif kind == SLASHED:
            row = self._rows.of_event(values)
            row.slashed_upokt += int(values["proof_missing_penalty"].removesuffix("upokt"))

    def _settle(self, row: Row, values: dict[str, str]) -> None:
        row.settled += int(values["num_relays"])
        row.settled_upokt += int(values["settled_upokt"].removesuffix("upokt"))
        rewards = json.loads(values["reward_distribution"])
        row.earned_upokt += int(rewards.get(row.supplier, "0upokt").removesuffix("upokt"))


def miner_message(packed: Any) -> proof_pb2.MsgCreateClaim | proof_pb2.MsgSubmitProof | None:
    """A claim's or a proof's message; None for any other."""
    if packed.type_url == CREATE_CLAIM:
        return decode(proof_pb2.MsgCreateClaim, packed.value)
    if packed.type_url == SUBMIT_PROOF:
        return decode(proof_pb2.MsgSubmitProof, packed.value)
    return None


def events(raw: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Type and attributes of ABCI events; the JSON quotes of strings are taken off."""
    for event in raw:
        values = {}
        for attribute in event["attributes"]:
            text = attribute["value"]
            values[attribute["key"]] = json.loads(text) if text.startswith('"') else text
        yield event["type"], values
