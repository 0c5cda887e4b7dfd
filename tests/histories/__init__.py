"""Deterministic simulation: the real miner under a simulated clock, chain and store."""
