"""Reading YAML with positions: nodes, limits, Go's decoding rules. Knows nothing of any one configuration."""
