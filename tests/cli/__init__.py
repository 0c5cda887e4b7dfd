"""Tests of relayminer.cli."""
