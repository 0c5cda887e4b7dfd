"""The HTTP/1.1 transport: JSON-RPC, REST and CometBFT relays, and the status pages."""
