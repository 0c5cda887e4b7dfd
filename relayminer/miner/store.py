"""One supplier's part of the shared state, under the lease of its owner.

Every change goes through a script that compares the lease's fencing token. What the store says
about the token comes out as `LeaseLostError`; every other trouble is a `StateError`, and then
nobody knows whether the change was made: all of them can be repeated.
"""

from __future__ import annotations

import structlog

_log = structlog.get_logger("relayminer.miner.store")
