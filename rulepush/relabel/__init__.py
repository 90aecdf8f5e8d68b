"""Prometheus' relabelling: configuration and application. Pure."""
