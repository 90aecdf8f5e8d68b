"""Finding targets: one file a protocol. A new discovery is one file and a row in `registry`."""
