"""RelayMiner: serve signed relays, mine them, get paid (Pocket Network, Shannon)."""
