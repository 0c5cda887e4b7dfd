"""Tests: real servers, real sockets, real signatures."""
