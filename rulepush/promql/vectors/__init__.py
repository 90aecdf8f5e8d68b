"""The data of an evaluation: vectors, windows, match groups, annotations. Knows no function and no engine."""
