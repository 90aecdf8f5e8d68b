"""Our parser beside promql-parser, which others keep: on real expressions both accept, and mean the same.

Ours exists because annotations need the place of each node in the source, which promql-parser does not tell; this test
keeps it honest.
"""

from __future__ import annotations

import promql_parser
import pytest
import yaml

from rulepush.errors import ParseError
from rulepush.promql import parse_expr
from tests.needs import shared


def expressions() -> list[str]:
    """The expressions of the published rule sets and of the benchmark rules."""
    found = set()
    for file in sorted(shared("conformance/real_rules").glob("*.yml")):
        for test in yaml.safe_load(file.read_text())["tests"]:
            found |= {case["expr"] for case in test.get("promql_expr_test", ())}
    bench = yaml.safe_load(shared("bench/rules.yml").read_text())
    found |= {rule["expr"] for group in bench["groups"] for rule in group["rules"]}
    return sorted(found)


def test_both_read_real_expressions_alike() -> None:
    texts = expressions()
    assert len(texts) > 200
    for text in texts:
        ours = str(parse_expr(text))
        theirs = promql_parser.parse(text)
        again = promql_parser.parse(ours)
        # Printed by us and read by promql-parser it is the same tree: nothing was lost or regrouped.
        assert again.prettify() == theirs.prettify(), text


@pytest.mark.parametrize(
    "text", ["sum(", "foo{", "rate(foo[5m]", "foo bar", 'foo{a="1"', "sum by (a) (b) (c)", "1 +", "[5m]"]
)
def test_both_refuse_what_is_no_promql(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        promql_parser.parse(text)
    with pytest.raises(ParseError, match="parse error"):
        parse_expr(text)
