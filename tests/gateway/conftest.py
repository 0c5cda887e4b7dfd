"""A real store for these tests."""

from __future__ import annotations

from tests.relayer.conftest import redis_url

__all__ = ["redis_url"]
