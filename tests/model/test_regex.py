"""Regular expressions: anchored, RE2, and bounded whatever is asked."""

from __future__ import annotations

import pytest

from rulepush.errors import ParseError, RegexError
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.regex import MAX_GROUPS, MAX_PATTERN, compile_regex
from rulepush.promql import parse_expr


def test_a_match_is_anchored_and_sees_newlines() -> None:
    assert compile_regex("a.*b").fullmatch("a\nb")
    assert not compile_regex("a").fullmatch("ab")
    match = compile_regex("(?P<first>a+)(b)?").fullmatch("aa")
    assert match is not None
    assert (match.groups(), match.groupdict()) == (("aa", None), {"first": "aa"})


def test_without_captures_only_the_match_itself_is_reported() -> None:
    pattern = compile_regex("(a+)(b)?", captures=False)
    match = pattern.fullmatch("aab")
    assert match is not None
    assert (match.group(0), match.groups(), pattern.groups) == ("aab", (), 0)


@pytest.mark.parametrize("pattern", ["(", "a{2000}", "(?=a)", "x" * (MAX_PATTERN + 1), "(x?)" * (MAX_GROUPS + 1)])
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError) as e:
        compile_regex(pattern)
    assert len(str(e.value)) < 300


def test_a_matcher_has_no_use_for_groups_however_many() -> None:
    matcher = Matcher("a", MatchOp.REGEX, "(x?)" * 3_000 + "y")  # with captures: hundreds of megabytes
    assert matcher.matches("xxxy")
    assert not matcher.matches("xxx")


def test_a_query_with_a_monstrous_expression_is_an_error() -> None:
    with pytest.raises(ParseError, match="more than"):
        parse_expr('x{a=~"' + "(x?)" * 100_000 + '"}')
