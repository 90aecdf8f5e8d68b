"""Forwards samples to a Pushgateway."""
