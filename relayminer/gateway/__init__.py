"""A gateway as a client: signs relays, sends them over every transport, checks and measures."""
