"""Length-prefixed relays over raw TCP: an example of a transport."""
