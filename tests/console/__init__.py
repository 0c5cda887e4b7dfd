"""Tests of the operator's web pages."""
