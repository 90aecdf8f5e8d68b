"""Finding targets: one file a protocol, and relabelling. A new discovery is one file and a row in `registry`."""
