"""Template: a parsed text, and the named templates that it defines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rulepush.gotext.builtins import BUILTINS
from rulepush.gotext.interpreter import execute
from rulepush.gotext.limits import TemplateLimits
from rulepush.gotext.nodes import Tree, template_names
from rulepush.gotext.parser import parse_template
from rulepush.gotext.values import Function

DEFAULT_LIMITS = TemplateLimits()


@dataclass(frozen=True)
class Template:
    """Immutable, so that it can be kept and executed any number of times."""

    name: str
    trees: Mapping[str, Tree]
    functions: Mapping[str, Function]

    @classmethod
    def parse(
        cls, text: str, functions: Mapping[str, Function] | None = None, name: str = "template", prefix: str = ""
    ) -> Template:
        """Parse a text. `functions` are known besides text/template's own; where they are among these, thousands of
        templates share one mapping. `prefix` is as in `parse_template`. Raises TemplateSyntaxError with its line."""
        given = functions or {}
        known = given if BUILTINS.keys() <= given.keys() else {**BUILTINS, **given}
        return cls(name, parse_template(text, known, name, prefix), known)

    def with_text(self, text: str, name: str) -> Template:
        """The same templates and those of another text, which replace the ones of their name unless they are empty."""
        trees = dict(self.trees)
        for key, tree in parse_template(text, self.functions, name).items():
            if key not in trees or not tree.is_empty():
                trees[key] = tree
        return Template(self.name, trees, self.functions)

    def named(self, name: str) -> Template:
        """The same templates, with another one as the default to execute."""
        return Template(name, self.trees, self.functions)

    def reachable(self) -> frozenset[str]:
        """The names of the templates that this one executes, through however many others."""
        found: set[str] = set()
        todo = [self.name]
        while todo:
            name = todo.pop()
            if name not in found and name in self.trees:
                found.add(name)
                todo += template_names(self.trees[name].root)
        return frozenset(found)

    def execute(
        self,
        data: object,
        limits: TemplateLimits = DEFAULT_LIMITS,
        functions: Mapping[str, Function] | None = None,
        name: str | None = None,
    ) -> str:
        """The output over `data`. `functions` replace those given to `parse_template`; `name` picks a defined template.

        Raises TemplateError.
        """
        known = self.functions if functions is None else {**self.functions, **functions}
        return execute(self.trees, name or self.name, data, known, limits)
