"""A Pushgateway-compatible receiver for short-lived jobs, and its client."""
