"""PromQL text to a type-checked tree and back, with Prometheus' messages."""
