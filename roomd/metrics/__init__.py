"""Metrics for Prometheus: what is shown, and the library that formats it."""
