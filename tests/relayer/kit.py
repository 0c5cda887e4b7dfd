"""The kit (`relayminer.testing`), by the names that these tests know it by."""

from __future__ import annotations

from relayminer_plugins.caches.entities import AccountCache, ApplicationCache, ServiceCache
from relayminer_plugins.caches.params import (
    ProofParamsCache,
    SessionParamsCache,
    SharedParamsAtCache,
    SharedParamsCache,
)
from relayminer_plugins.caches.registry import ServiceFactorCache, SupplierCache
from relayminer_plugins.caches.sessions import ComputeUnitsCache, DifficultyCache, SessionCache

from relayminer.testing.backend import Answer, Backend, json_rpc
from relayminer.testing.relayer import Bench, bench, settings
from relayminer.testing.small_chain import SERVICE, SmallChain, request_body, signed_request

CACHE_TYPES = (
    AccountCache,
    ApplicationCache,
    ComputeUnitsCache,
    DifficultyCache,
    ProofParamsCache,
    ServiceCache,
    ServiceFactorCache,
    SessionCache,
    SessionParamsCache,
    SharedParamsAtCache,
    SharedParamsCache,
    SupplierCache,
)

__all__ = [
    "CACHE_TYPES",
    "SERVICE",
    "Answer",
    "Backend",
    "Bench",
    "SmallChain",
    "bench",
    "json_rpc",
    "request_body",
    "settings",
    "signed_request",
]
