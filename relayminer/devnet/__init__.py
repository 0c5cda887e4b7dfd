"""A simulated Shannon chain, demo backends and a gateway client."""
