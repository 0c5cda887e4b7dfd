"""The committed protobuf modules are what the generator makes of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path("relayminer/protocol/pb")


def test_generated_modules_are_current(tmp_path: Path) -> None:
    """Generating again gives every committed module byte for byte, and no other."""
    subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_protobuf.py"), str(tmp_path)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    generated = {path.name: path.read_text() for path in (tmp_path / PACKAGE).glob("*_pb2.py*")}
    committed = {path.name: path.read_text() for path in (ROOT / PACKAGE).glob("*_pb2.py*")}
    assert sorted(generated) == sorted(committed)
    changed = [name for name, text in committed.items() if generated[name] != text]
    assert changed == []
