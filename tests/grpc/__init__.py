"""Tests of the transport that owns HTTP/2."""
