"""What transactions cost in gas.

The node charges every store access; here the sums of those charges, as recorded on a real chain,
stand for them. The stages that a client can meet by running out of gas are charged apart, in the
node's order. Source: the recorded transactions of a local network (tx_errors.json).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relayminer.devnet.chain.transactions import Packed

BEFORE_ANTE = 1_174
"""Gas used when a transaction is refused before the ante chain."""
READ_FLAT = 1_000
PARAMS_KEY = 3
PARAMS_VALUE = 39
TX_BYTE = 10
SIGNATURE = 1_000
FEE_DEDUCTION = 17_908
PUBLIC_KEY = 3_554
SIGNATURE_COUNT = 1_042
SIGNATURE_VERIFICATION = 1_042
UNORDERED = 2_240
NONCE = 3_858
ORDERED_ACCOUNT = 1_528
SEQUENCE = 7_600

SEND = 21_385
SESSION = 7_503
SESSION_SUPPLIER = 2_392
WINDOW = 2_213
CLAIM = 37_840
PROOF = 62_000
PROOF_BYTE = 30
OTHER = 40_000


def message_gas(packed: Packed, suppliers_per_session: int) -> int:
    """What running a message costs, about, when it succeeds."""
    session = SESSION + SESSION_SUPPLIER * suppliers_per_session + WINDOW
    if packed.type_url == "/pocket.proof.MsgCreateClaim":
        return session + CLAIM
    if packed.type_url == "/pocket.proof.MsgSubmitProof":
        return session + PROOF + PROOF_BYTE * packed.message.ByteSize()
    return SEND if packed.type_url == "/cosmos.bank.v1beta1.MsgSend" else OTHER
