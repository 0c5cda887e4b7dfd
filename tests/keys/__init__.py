"""Tests of relayminer.keys."""
