"""What every transaction passes before its messages run (wire 13.1), in the node's order.

Source: cosmos-sdk: x/auth/ante; poktroll: app/ante.go.
"""

from __future__ import annotations

import base64
from decimal import ROUND_CEILING
from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmpy.protos.cosmos.tx.signing.v1beta1.signing_pb2 import SIGN_MODE_DIRECT
from google.protobuf.message import DecodeError

from relayminer.devnet.chain import accounts, bank, gas
from relayminer.devnet.chain.codes import (
    SDK_INSUFFICIENT_FEE,
    SDK_INSUFFICIENT_FUNDS,
    SDK_INVALID_GAS_LIMIT,
    SDK_INVALID_PUBKEY,
    SDK_INVALID_REQUEST,
    SDK_MEMO_TOO_LARGE,
    SDK_NO_SIGNATURES,
    SDK_NOT_SUPPORTED,
    SDK_TOO_MANY_SIGNATURES,
    SDK_TX_TIMEOUT,
    SDK_TX_TIMEOUT_HEIGHT,
    SDK_UNAUTHORIZED,
    SDK_UNKNOWN_ADDRESS,
    SDK_UNKNOWN_EXTENSION,
    SDK_WRONG_SEQUENCE,
)
from relayminer.devnet.chain.context import Mode
from relayminer.devnet.chain.errors import ChainError
from relayminer.devnet.chain.tables import NONCES
from relayminer.devnet.chain.text import NANOSECONDS, go_time
from relayminer.protocol.address import address_of, module_address
from relayminer.protocol.signature import verify_signature

if TYPE_CHECKING:
    from decimal import Decimal

    from cosmpy.protos.cosmos.tx.v1beta1.tx_pb2 import SignerInfo

    from relayminer.devnet.chain.context import Context
    from relayminer.devnet.chain.tables import Account
    from relayminer.devnet.chain.transactions import Transaction

MEMO_CHARACTERS_MAX = 256
SIGNATURES_MAX = 7
UNORDERED_LIFETIME_NS_MAX = 600 * NANOSECONDS
PUBLIC_KEY_LENGTH = 33
COMPRESSED_PREFIXES = (2, 3)


def check_messages(tx: Transaction) -> None:
    """Stateless checks of the messages; they come before anything is charged."""
    if not tx.messages:
        raise SDK_INVALID_REQUEST("must contain at least one message")
    for packed in tx.messages:
        if packed.kind.check is not None:
            packed.kind.check(packed.message)


def run(ctx: Context, tx: Transaction, min_gas_price_upokt: Decimal) -> None:
    """Check and charge a transaction; raises the `sdk` error that refuses it."""
    if tx.body.extension_options:
        raise SDK_UNKNOWN_EXTENSION.bare()
    _check_envelope(tx)
    _check_timeouts(ctx, tx)
    _charge_params_read(ctx)
    if len(tx.body.memo) > MEMO_CHARACTERS_MAX:
        raise SDK_MEMO_TOO_LARGE(
            f"maximum number of characters is {MEMO_CHARACTERS_MAX} but received "
            f"{len(tx.body.memo)} characters"
        )
    _charge_params_read(ctx)
    ctx.gas.consume(gas.TX_BYTE * len(tx.raw), "txSize")
    _deduct_fee(ctx, tx, min_gas_price_upokt)
    signers = _set_public_keys(ctx, tx)
    if len(tx.signer_infos) > SIGNATURES_MAX:
        raise SDK_TOO_MANY_SIGNATURES(
            f"signatures: {len(tx.signer_infos)}, limit: {SIGNATURES_MAX}"
        )
    ctx.gas.consume(gas.SIGNATURE_COUNT, "ReadPerByte")
    ctx.gas.consume(gas.SIGNATURE * len(signers), "ante verify: secp256k1")
    ctx.gas.consume(gas.SIGNATURE_VERIFICATION, "ReadPerByte")
    if tx.body.unordered:
        _use_nonces(ctx, tx, signers)
    for account, info, signature in zip(
        signers, tx.signer_infos, tx.raw_tx.signatures, strict=True
    ):
        _check_signer(ctx, tx, account, info, signature)
    if not tx.body.unordered:
        for account in signers:
            ctx.gas.consume(gas.SEQUENCE, "WritePerByte")
            accounts.next_sequence(ctx.store, account)


def purge_nonces(ctx: Context) -> None:
    """Start of a block: forget the nonces of transactions that have timed out."""
    for key, _ in ctx.store.items(NONCES):
        if key[0] > ctx.time_ns:
            break
        ctx.store.delete(NONCES, key)


def _check_envelope(tx: Transaction) -> None:
    if not tx.raw_tx.signatures:
        raise SDK_NO_SIGNATURES.bare()
    if len(tx.raw_tx.signatures) != len(tx.signers):
        raise SDK_UNAUTHORIZED(
            f"wrong number of signers; expected {len(tx.signers)}, got {len(tx.raw_tx.signatures)}"
        )
    if len(tx.signer_infos) != len(tx.raw_tx.signatures):
        raise SDK_UNAUTHORIZED(
            f"invalid number of signer;  expected: {len(tx.signers)}, got {len(tx.signer_infos)}"
        )


def _check_timeouts(ctx: Context, tx: Transaction) -> None:
    height = tx.body.timeout_height
    if height and ctx.height > height:
        raise SDK_TX_TIMEOUT_HEIGHT(f"block height: {ctx.height}, timeout height: {height}")
    timeout_ns = tx.timeout_ns
    if timeout_ns is not None and ctx.time_ns > timeout_ns:
        raise SDK_TX_TIMEOUT(
            f"block time: {go_time(ctx.time_ns)}, timeout timestamp: {go_time(timeout_ns)}"
        )


def _charge_params_read(ctx: Context) -> None:
    """One read of the auth parameters: flat, key, value."""
    ctx.gas.consume(gas.READ_FLAT, "ReadFlat")
    ctx.gas.consume(gas.PARAMS_KEY, "ReadPerByte")
    ctx.gas.consume(gas.PARAMS_VALUE, "ReadPerByte")


def _deduct_fee(ctx: Context, tx: Transaction, min_gas_price_upokt: Decimal) -> None:
    if ctx.mode is not Mode.SIMULATE and ctx.height > 0 and tx.fee.gas_limit == 0:
        raise SDK_INVALID_GAS_LIMIT("must provide positive gas")
    coins = tuple((each.denom, int(each.amount)) for each in tx.fee.amount if each.amount.isdigit())
    if ctx.mode in {Mode.CHECK, Mode.RECHECK} and min_gas_price_upokt:
        price = min_gas_price_upokt * tx.fee.gas_limit
        required = int(price.to_integral_value(ROUND_CEILING))
        if dict(coins).get("upokt", 0) < required:
            raise SDK_INSUFFICIENT_FEE(
                f"insufficient fees; got: {bank.coins_text(coins)} required: {required}upokt"
            )
    if tx.fee.granter:
        raise SDK_NOT_SUPPORTED("fee grants are not enabled")
    payer = tx.fee_payer
    if accounts.find(ctx.store, payer) is None:
        raise SDK_UNKNOWN_ADDRESS(f"fee payer address: {payer} does not exist")
    if coins:
        ctx.gas.consume(gas.FEE_DEDUCTION, "WritePerByte")
        try:
            bank.send(ctx, payer, module_address("fee_collector"), coins)
        except ChainError as error:
            raise SDK_INSUFFICIENT_FUNDS(error.text) from error
    ctx.emit_plain("tx", ("fee", bank.coins_text(coins)), ("fee_payer", payer))


def _set_public_keys(ctx: Context, tx: Transaction) -> list[Account]:
    """The signers' accounts, with the keys that the transaction brings."""
    ctx.gas.consume(gas.PUBLIC_KEY, "ReadPerByte")
    signers = []
    for index, (address, info) in enumerate(zip(tx.signers, tx.signer_infos, strict=True)):
        account = accounts.find(ctx.store, address)
        if account is None:
            raise SDK_UNKNOWN_ADDRESS(f"account {address} does not exist")
        public_key = _public_key(info)
        if public_key is not None and ctx.mode is not Mode.SIMULATE:
            if address_of(public_key) != address:
                raise SDK_INVALID_PUBKEY(
                    f"pubKey does not match signer address {address} with signer index: {index}"
                )
            if account.public_key is None:
                account = accounts.set_public_key(ctx.store, account, public_key)
        signers.append(account)
    for address, info, signature in zip(
        tx.signers, tx.signer_infos, tx.raw_tx.signatures, strict=True
    ):
        if not tx.body.unordered:
            ctx.emit_plain("tx", ("acc_seq", f"{address}/{info.sequence}"))
        ctx.emit_plain("tx", ("signature", base64.b64encode(signature).decode("ascii")))
    return signers


def _public_key(info: SignerInfo) -> bytes | None:
    """The secp256k1 key in a signer info; None when there is none."""
    if not info.HasField("public_key"):
        return None
    if info.public_key.type_url != accounts.PUBKEY_TYPE_URL:
        raise SDK_INVALID_PUBKEY(f"unsupported key type {info.public_key.type_url}")
    key = PubKey()
    try:
        key.ParseFromString(info.public_key.value)
    except DecodeError as error:
        raise SDK_INVALID_PUBKEY("key bytes cannot be decoded") from error
    found: bytes = key.key
    if len(found) != PUBLIC_KEY_LENGTH or found[0] not in COMPRESSED_PREFIXES:
        raise SDK_INVALID_PUBKEY(f"length of {len(found)} bytes")
    return found


def _use_nonces(ctx: Context, tx: Transaction, signers: list[Account]) -> None:
    """The rules of unordered transactions: lifetime, gas, no sequence, a nonce used once."""
    timeout_ns = tx.timeout_ns
    if timeout_ns is None or timeout_ns <= 0:
        raise SDK_INVALID_REQUEST("unordered transaction must have timeout_timestamp set")
    if timeout_ns < ctx.time_ns:
        raise SDK_INVALID_REQUEST(
            "unordered transaction has a timeout_timestamp that has already passed"
        )
    if timeout_ns > ctx.time_ns + UNORDERED_LIFETIME_NS_MAX:
        raise SDK_INVALID_REQUEST("unordered tx ttl exceeds 10m0s")
    ctx.gas.consume(gas.UNORDERED, "unordered tx")
    for account, info in zip(signers, tx.signer_infos, strict=True):
        if info.sequence:
            raise SDK_INVALID_REQUEST("sequence is not allowed for unordered transactions")
        if ctx.mode is Mode.SIMULATE:
            continue
        key = (timeout_ns, account.address)
        if ctx.store.get(NONCES, key) is not None:
            raise SDK_INVALID_REQUEST(
                f"failed to add unordered nonce: sender {account.address} has already used "
                f"timeout {timeout_ns}"
            )
        ctx.gas.consume(gas.NONCE, "WritePerByte")
        ctx.store.set(NONCES, key, value=True)


def _check_signer(
    ctx: Context, tx: Transaction, account: Account, info: SignerInfo, signature: bytes
) -> None:
    if not tx.body.unordered:
        ctx.gas.consume(gas.ORDERED_ACCOUNT, "ReadPerByte")
        if info.sequence != account.sequence:
            raise SDK_WRONG_SEQUENCE(
                f"account sequence mismatch, expected {account.sequence}, got {info.sequence}"
            )
    if ctx.mode in {Mode.SIMULATE, Mode.RECHECK}:
        return
    if account.public_key is None:
        raise SDK_INVALID_PUBKEY("pubkey on account is not set")
    if info.mode_info.single.mode != SIGN_MODE_DIRECT:
        raise SDK_UNAUTHORIZED("signature verification failed; only SIGN_MODE_DIRECT is supported")
    number = account.number if ctx.height > 0 else 0
    document = tx.sign_bytes(ctx.chain_id, number)
    if not verify_signature(account.public_key, document, signature):
        sequence = "" if tx.body.unordered else f", sequence ({account.sequence})"
        raise SDK_UNAUTHORIZED(
            f"signature verification failed; please verify account number ({number}){sequence} "
            f"and chain-id ({ctx.chain_id}): (unable to verify single signer signature)"
        )
