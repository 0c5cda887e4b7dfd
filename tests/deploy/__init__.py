"""Tests of what is deployed: image, chart, unit, local networks."""
