"""Sick backends, full services, and what the relayer makes of them."""
