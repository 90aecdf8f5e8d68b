"""Outputs beside alerts: samples sent on to a Pushgateway."""
