"""Tests of the relayer."""
