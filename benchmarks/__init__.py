"""What the hot parts cost, and how many relays one process serves: `python -m benchmarks`."""
