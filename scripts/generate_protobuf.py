"""Generate the protobuf modules of `relayminer.protocol.pb` from its `.proto` files.

    python scripts/generate_protobuf.py            writes the modules in place
    python scripts/generate_protobuf.py DIRECTORY  writes them below DIRECTORY instead

The Cosmos files that ours import are taken from cosmpy's compiled descriptors: cosmpy registers
them in the process-wide descriptor pool, and a second copy under the same name could not be loaded
beside it. The generated imports are pointed at cosmpy's modules for the same reason.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cosmpy.protos.cosmos.base.query.v1beta1 import pagination_pb2
from cosmpy.protos.cosmos.base.v1beta1 import coin_pb2
from cosmpy.protos.gogoproto import gogo_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("relayminer/protocol/pb")
COSMOS_IMPORT = re.compile(r"^from (cosmos|gogoproto)\b", re.MULTILINE)


def cosmos_descriptors() -> bytes:
    """Return a serialized descriptor set of the Cosmos files we import, dependencies first."""
    files = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        files.file.add().ParseFromString(file.serialized_pb)

    add(coin_pb2.DESCRIPTOR)
    add(pagination_pb2.DESCRIPTOR)
    add(gogo_pb2.DESCRIPTOR)
    return files.SerializeToString()


def generate(target: Path) -> list[Path]:
    """Generate all modules below `target` and return their paths.

    Raises:
        RuntimeError: when the compiler refuses a file.
    """
    sources = sorted((ROOT / PACKAGE).glob("*.proto"))
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(cosmos_descriptors())
        descriptors.flush()
        status = protoc.main(
            [
                "protoc",
                f"-I{ROOT}",
                f"--descriptor_set_in={descriptors.name}",
                f"--python_out={target}",
                f"--pyi_out={target}",
                *(str(source.relative_to(ROOT)) for source in sources),
            ]
        )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    outputs = sorted((target / PACKAGE).glob("*_pb2.py*"))
    for output in outputs:
        output.write_text(adjust(output.read_text(encoding="utf-8")), encoding="utf-8")
    return outputs


def adjust(text: str) -> str:
    """Point imports at cosmpy and give the stubs the type arguments that strict checkers want."""
    text = COSMOS_IMPORT.sub(r"from cosmpy.protos.\1", text)
    if "_Mapping]" in text:
        text = text.replace("_Mapping]", "_Mapping[str, _Any]]")
        text = text.replace("from typing import ", "from typing import Any as _Any, ", 1)
    return text


if __name__ == "__main__":
    for path in generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT):
        print(path)
