"""Tests of relayminer.config."""
