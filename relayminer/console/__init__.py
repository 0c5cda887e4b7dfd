"""The operator's web pages: what every supplier is doing, live, read from the store."""
