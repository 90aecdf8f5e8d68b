"""The root of the error tree, and what the model itself raises. They are here so that `model` imports nothing else of
rulepush; `rulepush.errors` shows the whole tree, and every other package imports them from there."""

from __future__ import annotations


class RulepushError(Exception):
    """Root of the tree. The text is one clear sentence for the reader of the log."""


class RegexError(RulepushError):
    """A pattern that RE2 refuses."""
