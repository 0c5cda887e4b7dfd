"""Tiered caches: memory, Redis, chain; the leader that keeps them fresh."""
