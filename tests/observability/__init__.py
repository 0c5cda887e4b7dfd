"""Metrics, alert rules, dashboards and notices, against a real run."""
