"""The miner, with a real store and a chain stepped by hand."""
