"""Tests of the demonstration's own parts; `tests/e2e` runs it."""
