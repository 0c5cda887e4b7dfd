"""The root of the error tree.

Each layer adds its own branch beside its code. An error that an operator meets says what happened,
where, and what to do about it; it never carries key material or payloads.
"""


class RelayMinerError(Exception):
    """Root of every error that this project raises on purpose."""
