"""The root of the error tree, and what the model itself raises. They live here so that `model` imports nothing of ours;
`rulepush.errors` draws the whole tree and is where everybody else takes them from."""

from __future__ import annotations


class RulepushError(Exception):
    """Root of the tree. Its text is one clear sentence for the person who reads the log."""


class RegexError(RulepushError):
    """A pattern that RE2 refuses."""
