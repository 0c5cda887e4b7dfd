"""The demonstration: a chain, a relayer and a miner on this machine, and the sums to check them."""
