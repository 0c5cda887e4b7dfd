"""Tests of relayminer.chain."""
