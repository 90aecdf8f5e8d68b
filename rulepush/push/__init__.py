"""The door for short jobs: a Pushgateway-compatible receiver, and its client."""
