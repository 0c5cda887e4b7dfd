"""The WebSocket transport over real sockets."""
