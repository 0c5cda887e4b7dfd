"""Tests of relayminer.gateway."""
