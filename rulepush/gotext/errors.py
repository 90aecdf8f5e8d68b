"""What a template raises. The language stands alone: its users turn these into what they show."""

from __future__ import annotations


class TemplateError(Exception):
    """A template that does not parse, or that failed while it ran."""
