"""The base of all errors of templates. Not part of rulepush's error tree, because this package imports nothing of
rulepush: callers catch it where they parse and execute."""

from __future__ import annotations


class TemplateError(Exception):
    """A template that does not parse, or that failed while it ran."""
