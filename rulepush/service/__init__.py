"""The running service: builds the objects, owns their tasks, puts a reload into effect."""
