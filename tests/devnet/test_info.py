"""What a devnet leaves in its home."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from relayminer.devnet.errors import DevnetInfoError
from relayminer.devnet.info import INFO_FILE, DevnetInfo, Party, read_info, write_info
from relayminer.protocol.signature import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

    from relayminer.devnet.server import Devnet

INFO = DevnetInfo(
    chain_id="pocket",
    rpc_url="http://127.0.0.1:1",
    grpc_url="127.0.0.1:2",
    control_url="http://127.0.0.1:3",
    backend_url="",
    relayer_url="http://127.0.0.1:8080",
    block_time_seconds=None,
    supplier_keys_file="keys.yaml",
    service_ids=("a", "b"),
    suppliers=(Party(name="supplier1", address="pokt1x", secret_hex="11" * 32),),
    applications=(),
    gateways=(),
)


def test_a_round_trip(tmp_path: Path) -> None:
    """The file reads back as it was written and is its owner's alone."""
    path = write_info(tmp_path / "new", INFO)
    assert read_info(tmp_path / "new") == INFO
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "11" * 32 not in repr(INFO)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"chain_id": 1}'])
def test_what_is_not_an_info_file(tmp_path: Path, text: str) -> None:
    """A missing or foreign file is refused by name."""
    with pytest.raises(DevnetInfoError, match="start `relayminer devnet"):
        read_info(tmp_path)
    (tmp_path / INFO_FILE).write_text(text)
    with pytest.raises(DevnetInfoError, match="is not a devnet's info file"):
        read_info(tmp_path)


async def test_a_running_devnet_tells_everything(devnet: Devnet, tmp_path: Path) -> None:
    """The info names URLs and parties, with the keys of their addresses."""
    info = read_info(tmp_path)
    assert info == devnet.info
    assert (len(info.service_ids), len(info.suppliers)) == (2, 3)
    assert (len(info.applications), len(info.gateways)) == (2, 1)
    for party in (*info.suppliers, *info.applications, *info.gateways):
        assert SigningKey(party.secret).address == party.address
        assert set(party.service_ids) <= set(info.service_ids)
    assert [party.name for party in info.suppliers] == ["supplier1", "supplier2", "supplier3"]
    keys = yaml.safe_load((tmp_path / "supplier-keys.yaml").read_text())
    assert keys == {"keys": [party.secret_hex for party in info.suppliers]}
    mode = stat.S_IMODE((tmp_path / "supplier-keys.yaml").stat().st_mode)
    assert mode == 0o600
