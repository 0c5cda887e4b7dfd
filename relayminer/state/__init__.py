"""Shared state in Redis: gateway, embedded server, names, streams, tries, sessions, ledger."""
