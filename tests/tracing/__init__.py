"""Traces, read by a collector of our own with OpenTelemetry's own messages."""
