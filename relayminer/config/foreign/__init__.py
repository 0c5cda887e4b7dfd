"""Configuration files of the Go implementation (`pocket-relay-miner`), as they are.

A table of rows says for each of its keys which of our settings it becomes, or what holds instead;
`relayer_file` and `miner_file` have one table each. What a file says is translated into a document
of ours that remembers where each value was written, so a mistake is told by its place there.
"""

from relayminer.config.foreign.files import Imported, imported, load_foreign

__all__ = ["Imported", "imported", "load_foreign"]
