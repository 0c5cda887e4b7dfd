"""Tests of simulated relays."""
