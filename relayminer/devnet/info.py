"""What a devnet leaves in its home so that other processes find it: URLs, keys, who staked what.

The keys are play money by construction, and still the files are for their owner's eyes only.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import cattrs
import yaml
from attrs import field, frozen

from relayminer.devnet.errors import DevnetInfoError

if TYPE_CHECKING:
    from pathlib import Path

INFO_FILE = "devnet.json"
KEYS_FILE = "supplier-keys.yaml"


@frozen(kw_only=True)
class Party:
    """An account of the devnet and what it staked for.

    Attributes:
        name: role and number, `supplier3`.
        address: bech32.
        secret_hex: private key, 64 hex digits; empty when the genesis came without keys.
        service_ids: services of its stake; empty for gateways.
    """

    name: str
    address: str
    secret_hex: str = field(repr=False)
    service_ids: tuple[str, ...] = ()

    @property
    def secret(self) -> bytes:
        """The private key, 32 bytes."""
        return bytes.fromhex(self.secret_hex)


@frozen(kw_only=True)
class DevnetInfo:
    """Where a running devnet is and who lives there.

    Attributes:
        rpc_url: CometBFT RPC, `http://host:port`.
        grpc_url: `host:port`, plaintext.
        backend_url: the demo backend, empty when there is none.
        backend_grpc: `host:port` of its gRPC, cleartext; empty when there is none.
        relayer_url: what the suppliers staked as their endpoint.
        block_time_seconds: None when blocks come by command only.
        supplier_keys_file: YAML that a miner takes as `keys.keys_file`.
        others: accounts of the genesis that staked nothing: validators, service owners, the DAO.
    """

    chain_id: str
    rpc_url: str
    grpc_url: str
    control_url: str
    backend_url: str
    relayer_url: str
    block_time_seconds: float | None
    supplier_keys_file: str
    service_ids: tuple[str, ...]
    suppliers: tuple[Party, ...]
    applications: tuple[Party, ...]
    gateways: tuple[Party, ...]
    others: tuple[Party, ...] = ()
    backend_grpc: str = ""


def write_info(home: Path, info: DevnetInfo) -> Path:
    """Write the info file (mode 0600) into `home`, which is made when it is missing."""
    path = home / INFO_FILE
    write_private(path, json.dumps(cattrs.unstructure(info), indent=2) + "\n")
    return path


def read_info(home: Path) -> DevnetInfo:
    """The info that a devnet left in `home`.

    Raises:
        DevnetInfoError: there is none, or it is not readable as one.
    """
    path = home / INFO_FILE
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return cattrs.structure(document, DevnetInfo)
    except FileNotFoundError as error:
        raise DevnetInfoError(
            f"{path} is not there: start `relayminer devnet --home {home}` first"
        ) from error
    except (ValueError, TypeError, KeyError, cattrs.BaseValidationError) as error:
        raise DevnetInfoError(f"{path} is not a devnet's info file") from error


def write_supplier_keys(home: Path, suppliers: tuple[Party, ...]) -> Path:
    """Write the suppliers' keys in the miner's `keys_file` form (`keys:` list of hex)."""
    path = home / KEYS_FILE
    write_private(path, supplier_keys(suppliers))
    return path


def supplier_keys(suppliers: tuple[Party, ...]) -> str:
    """The text of such a file."""
    return yaml.safe_dump({"keys": [one.secret_hex for one in suppliers if one.secret_hex]})


def write_private(path: Path, text: str) -> None:
    """Put `text` at `path` at once, readable and writable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
