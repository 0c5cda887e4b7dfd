"""A real store for these tests."""

from tests.relayer.conftest import redis_url

__all__ = ["redis_url"]
