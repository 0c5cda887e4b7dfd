"""Errors of the shared caches."""

from __future__ import annotations

from relayminer.errors import RelayMinerError


class CacheError(RelayMinerError):
    """Root of the errors of this package."""


class AbsentError(CacheError, LookupError):
    """The chain or the store says that there is no such thing."""


class UnknownCacheError(CacheError):
    """A cache type that is needed is not installed."""


class LoadError(CacheError):
    """The value could not be had: neither memory, store nor chain gave it. It may exist."""
