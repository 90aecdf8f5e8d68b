"""The errors of templates. Not part of rulepush's error tree, because this package imports nothing of
rulepush: callers catch it where they parse and execute."""

from __future__ import annotations


class TemplateError(Exception):
    """A template that does not parse, or that failed while it ran."""


class TemplateSyntaxError(TemplateError):
    """A template that does not parse. `line` is 1-based, within the text of the template."""

    def __init__(self, name: str, line: int, message: str):
        self.line = line
        self.message = message
        super().__init__(f"template: {name}:{line}: {message}")


class TemplateExecError(TemplateError):
    """A template that failed while it ran."""


class TemplateLimitError(TemplateError):
    """A template that wanted more output, depth or steps than its limits allow."""
