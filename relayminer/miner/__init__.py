"""The miner: ingest, accumulate, claim, prove, settle."""
