"""The kit's HTTP client, by the name that these tests know it by."""

from relayminer.testing.http_client import Client, connect, error_of

__all__ = ["Client", "connect", "error_of"]
