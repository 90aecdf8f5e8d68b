"""The evaluation of a tree: selectors, operators, aggregations, and the engine that walks it."""
