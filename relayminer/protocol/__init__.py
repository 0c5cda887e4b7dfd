"""The protocol, pure: bytes in, bytes or verdicts out; no I/O, no clock, no Trio."""
