"""The registered errors of the chain: codespace, code and text. Source: wire 3, 13.1, 13.2.

Where the upstream text is odd ("not found not found ") it is kept: clients match on it.
"""

from __future__ import annotations

from relayminer.devnet.chain.errors import ChainError


class Registered:
    """One registered error; calling it makes an exception with a detail in front."""

    __slots__ = ("code", "codespace", "text")

    def __init__(self, codespace: str, code: int, text: str) -> None:
        self.codespace = codespace
        self.code = code
        self.text = text

    def __call__(self, detail: str) -> ChainError:
        """The error to raise, `detail: ` in front of its text."""
        return ChainError(self.codespace, self.code, f"{detail}: {self.text}")

    def bare(self) -> ChainError:
        """The error to raise, with its text alone."""
        return ChainError(self.codespace, self.code, self.text)


# Errors of cosmos-sdk, types/errors/errors.go.
SDK_TX_DECODE = Registered("sdk", 2, "tx parse error")
SDK_UNAUTHORIZED = Registered("sdk", 4, "unauthorized")
SDK_INSUFFICIENT_FUNDS = Registered("sdk", 5, "insufficient funds")
SDK_INVALID_ADDRESS = Registered("sdk", 7, "invalid address")
SDK_INVALID_PUBKEY = Registered("sdk", 8, "invalid pubkey")
SDK_UNKNOWN_ADDRESS = Registered("sdk", 9, "unknown address")
SDK_INVALID_COINS = Registered("sdk", 10, "invalid coins")
SDK_MEMO_TOO_LARGE = Registered("sdk", 12, "memo too large")
SDK_INSUFFICIENT_FEE = Registered("sdk", 13, "insufficient fee")
SDK_TOO_MANY_SIGNATURES = Registered("sdk", 14, "maximum number of signatures exceeded")
SDK_NO_SIGNATURES = Registered("sdk", 15, "no signatures supplied")
SDK_INVALID_REQUEST = Registered("sdk", 18, "invalid request")
SDK_TX_IN_CACHE = Registered("sdk", 19, "tx already in mempool")
SDK_MEMPOOL_FULL = Registered("sdk", 20, "mempool is full")
SDK_TX_TIMEOUT_HEIGHT = Registered("sdk", 30, "tx timeout height")
SDK_UNKNOWN_EXTENSION = Registered("sdk", 31, "unknown extension options")
SDK_WRONG_SEQUENCE = Registered("sdk", 32, "incorrect account sequence")
SDK_NOT_SUPPORTED = Registered("sdk", 37, "feature not supported")
SDK_INVALID_GAS_LIMIT = Registered("sdk", 41, "invalid gas limit")
SDK_TX_TIMEOUT = Registered("sdk", 42, "tx timeout")

# Errors of poktroll, x/proof/types/errors.go.
PROOF_INVALID_ADDRESS = Registered("proof", 1101, "invalid address")
PROOF_SUPPLIER_NOT_FOUND = Registered("proof", 1102, "supplier not found")
PROOF_INVALID_SERVICE = Registered("proof", 1103, "invalid service in supplier")
PROOF_INVALID_ROOT = Registered("proof", 1104, "invalid root hash")
PROOF_CLAIM_NOT_FOUND = Registered("proof", 1106, "claim not found")
PROOF_NOT_FOUND = Registered("proof", 1107, "proof not found")
PROOF_INVALID_PROOF = Registered("proof", 1108, "invalid proof")
PROOF_INVALID_RELAY = Registered("proof", 1109, "invalid relay")
PROOF_PUBLIC_KEY_NOT_FOUND = Registered("proof", 1114, "public key not found")
PROOF_INVALID_HEADER = Registered("proof", 1115, "invalid session header")
PROOF_INVALID_SESSION_ID = Registered("proof", 1116, "invalid session ID")
PROOF_INVALID_SESSION_END = Registered("proof", 1117, "invalid session end height")
PROOF_INVALID_SESSION_START = Registered("proof", 1118, "invalid session start height")
PROOF_PARAM_INVALID = Registered("proof", 1120, "the provided param is invalid")
PROOF_CLAIM_OUTSIDE_WINDOW = Registered(
    "proof", 1121, "claim attempted outside of the session's claim window"
)
PROOF_OUTSIDE_WINDOW = Registered(
    "proof", 1122, "proof attempted outside of the session's proof window"
)
PROOF_SUPPLIER_MISMATCH = Registered(
    "proof", 1123, "supplier operator address does not match the claim or proof"
)
PROOF_ACCOUNT_NOT_FOUND = Registered("proof", 1124, "account not found")
PROOF_SERVICE_NOT_FOUND = Registered("proof", 1125, "service not found")
PROOF_COMPUTE_UNITS_MISMATCH = Registered(
    "proof",
    1126,
    "mismatch: claim compute units != number of relays * service compute units per relay",
)
PROOF_NOT_ENOUGH_FUNDS = Registered("proof", 1127, "not enough funds to submit proof")
PROOF_FEE_NOT_DEDUCTED = Registered("proof", 1128, "failed to deduct proof submission fee")
PROOF_NOT_REQUIRED = Registered("proof", 1129, "proof not required")
PROOF_INVALID_DIFFICULTY = Registered("proof", 1130, "invalid relay difficulty")
PROOF_INVALID_AMOUNT = Registered("proof", 1131, "invalid claimed amount")

# Errors of poktroll, x/session/types/errors.go.
SESSION_HYDRATION = Registered("session", 1101, "error during session hydration")
SESSION_APPLICATION_NOT_FOUND = Registered(
    "session", 1102, "application for session not found not found "
)
SESSION_NOT_STAKED_FOR_SERVICE = Registered(
    "session", 1103, "application in session not staked for requested service"
)
SESSION_SUPPLIERS_NOT_FOUND = Registered("session", 1104, "no suppliers not found for session")
SESSION_INVALID_APPLICATION = Registered("session", 1105, "invalid application address for session")
SESSION_INVALID_HEIGHT = Registered("session", 1107, "invalid block height for session")
SESSION_INVALID_ID = Registered("session", 1108, "invalid sessionId")
SESSION_APPLICATION_NOT_ACTIVE = Registered("session", 1109, "application is not active")
SESSION_PARAM_INVALID = Registered("session", 1110, "the provided param is invalid")

# Errors of poktroll, x/shared/types/errors.go.
SHARED_PARAM_INVALID = Registered("shared", 1103, "the provided param is invalid")
SHARED_UNAUTHORIZED_SUPPLIER_UPDATE = Registered("shared", 1105, "unauthorized supplier update")
SHARED_INVALID_SERVICE = Registered("shared", 1107, "invalid service")
SHARED_INVALID_SERVICE_ID = Registered("shared", 1108, "invalid service ID")
SHARED_INVALID_SERVICE_NAME = Registered("shared", 1109, "invalid service name")
SHARED_INVALID_COMPUTE_UNITS = Registered("shared", 1110, "invalid compute units per relay")
SHARED_INVALID_METADATA = Registered("shared", 1111, "invalid service metadata")

# Errors of poktroll, x/service/types/errors.go.
SERVICE_INVALID_ADDRESS = Registered("service", 1102, "invalid address when adding a new service")
SERVICE_NOT_ENOUGH_FUNDS = Registered("service", 1108, "not enough funds to add service")
SERVICE_INVALID_RELAY_RESPONSE = Registered("service", 1110, "invalid relay response")
SERVICE_INVALID_RELAY_REQUEST = Registered("service", 1111, "invalid relay request")
SERVICE_INVALID_OWNER = Registered("service", 1113, "invalid owner address")
SERVICE_PARAM_INVALID = Registered("service", 1115, "the provided param is invalid")
SERVICE_NOT_FOUND = Registered("service", 1117, "service not found")
SERVICE_UNAUTHORIZED = Registered("service", 1118, "unauthorized service operation")

# Errors of poktroll, x/supplier/types/errors.go, x/application/types/errors.go.
SUPPLIER_INVALID_STAKE = Registered("supplier", 1101, "invalid supplier stake")
SUPPLIER_INVALID_ADDRESS = Registered("supplier", 1102, "invalid address")
SUPPLIER_NOT_FOUND = Registered("supplier", 1103, "supplier not found")
SUPPLIER_INVALID_CONFIG = Registered("supplier", 1104, "invalid service config")
SUPPLIER_IS_UNSTAKING = Registered("supplier", 1105, "supplier is in unbonding period")
SUPPLIER_SERVICE_NOT_FOUND = Registered("supplier", 1106, "service not found")
APPLICATION_INVALID_STAKE = Registered("application", 1101, "invalid application stake")
APPLICATION_INVALID_ADDRESS = Registered("application", 1102, "invalid application address")
APPLICATION_NOT_FOUND = Registered("application", 1104, "application not found")
APPLICATION_INVALID_CONFIGS = Registered("application", 1106, "invalid service configs")
APPLICATION_GATEWAY_NOT_FOUND = Registered("application", 1107, "gateway not found")
APPLICATION_INVALID_GATEWAY = Registered("application", 1108, "invalid gateway address")
APPLICATION_ALREADY_DELEGATED = Registered(
    "application", 1109, "application already delegated to gateway"
)
APPLICATION_MAX_GATEWAYS = Registered(
    "application", 1110, "maximum number of delegated gateways reached"
)
APPLICATION_NOT_DELEGATED = Registered("application", 1111, "application not delegated to gateway")
APPLICATION_IS_UNSTAKING = Registered("application", 1112, "application is in unbonding period")
GATEWAY_IS_INACTIVE = Registered("gateway", 1108, "gateway is no longer active")

# Errors of poktroll, x/tokenomics/types/errors.go.
TOKENOMICS_HEADER_INVALID = Registered(
    "tokenomics", 1103, "provided claim's session header is invalid"
)
TOKENOMICS_SUPPLIER_NOT_FOUND = Registered("tokenomics", 1105, "supplier not found")
TOKENOMICS_APPLICATION_NOT_FOUND = Registered("tokenomics", 1106, "application not found")
TOKENOMICS_ROOT_INVALID = Registered("tokenomics", 1109, "the root hash in the claim is invalid")
TOKENOMICS_STAKE_INVALID = Registered(
    "tokenomics", 1110, "application stake cannot be reduced to a -ve amount"
)
TOKENOMICS_SERVICE_NOT_FOUND = Registered("tokenomics", 1115, "service not found")
TOKENOMICS_CONSTRAINT = Registered("tokenomics", 1116, "constraint violation")
TOKENOMICS_INTERNAL = Registered("tokenomics", 1117, "internal claim settlement error")
TOKENOMICS_TLM_INTERNAL = Registered("tokenomics", 1118, "internal token logic module error")
TOKENOMICS_PROCESSING = Registered("tokenomics", 1119, "failed to process token logic module")
TOKENOMICS_COIN_IS_ZERO = Registered("tokenomics", 1120, "coin amount cannot be zero")
