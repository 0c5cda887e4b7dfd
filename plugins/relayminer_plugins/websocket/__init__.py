"""The WebSocket transport: conversations of signed relays (relayer.md 3)."""
