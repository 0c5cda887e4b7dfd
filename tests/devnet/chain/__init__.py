"""Tests of the simulated chain's state machine."""
