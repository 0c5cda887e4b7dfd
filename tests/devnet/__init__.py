"""The devnet: servers, backends, gateway client."""
