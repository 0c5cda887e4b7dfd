"""The chain: queries, blocks, transactions."""
