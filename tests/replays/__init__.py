"""Tests of refused and of served replays."""
