"""Typed settings and their errors."""
