"""No template takes more than its limits, and none does anything else than fail with TemplateError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.gotext.errors import TemplateError
from rulepush.gotext.gofmt import sprintf
from rulepush.template import Template, TemplateLimitError, TemplateLimits, check_alert_template, template_queries
from rulepush.template.goregex import replace_all
from rulepush.template.prometheus import BOUND_NAMES, STATIC_FUNCTIONS
from tests.template.alerts import expand


def _bounded(text: str, limits: TemplateLimits | None = None) -> str:
    functions = {**STATIC_FUNCTIONS, **BOUND_NAMES}
    return Template.parse(text, functions, "t").execute(None, limits or TemplateLimits())


@pytest.mark.parametrize(
    "text",
    [
        "{{ range 1000000000 }}{{ end }}",
        "{{ range 2000 }}{{ range 2000 }}{{ end }}{{ end }}",
        '{{ $s := "0123456789" }}{{ range 100 }}{{ $s = print $s $s }}{{ end }}',
        '{{ range 1000 }}{{ printf "%100000d" 1 }}{{ end }}',
        '{{ printf "%1000000s%1000000s" "" "" }}',
        '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}',
        '{{ define "a" }}{{ template "b" }}{{ template "b" }}{{ end }}{{ define "b" }}{{ template "a" }}{{ end }}'
        '{{ template "a" }}',
        '{{ define "a" }}{{ tmpl "a" 1 }}{{ tmpl "a" 1 }}{{ end }}{{ template "a" }}',
        '{{ $s := printf "%1000000s" "a" }}{{ range 100 }}{{ $s = reReplaceAll "" $s $s }}{{ end }}',
        '{{ $s := printf "%1000000s" "a" }}{{ printf "%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s" $s }}',
        "{{ $a := 1 }}{{ range 60 }}{{ $a = args $a $a }}{{ end }}{{ $a }}",
        "{{ $a := 1 }}{{ range 60 }}{{ $a = args $a $a }}{{ end }}{{ len (print $a) }}",
        "{{ $a := 1 }}{{ range 5000 }}{{ $a = args $a }}{{ end }}{{ $a }}",
        '{{ range 1000 }}{{ $x := query "m" }}{{ end }}',
    ],
)
def test_a_runaway_template_fails(text: str) -> None:
    with pytest.raises(TemplateError):
        _bounded(text)


def test_output_is_bounded() -> None:
    with pytest.raises(TemplateLimitError, match="writes more than 10 characters"):
        _bounded("{{ 1234567890 }}x", TemplateLimits(max_output=10))


@pytest.mark.parametrize("text", ["{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "{{if 1}}" * 5000 + "{{end}}" * 5000])
def test_nesting_is_bounded_when_it_is_parsed(text: str) -> None:
    with pytest.raises(TemplateError, match="nested deeper than 60"):
        _bounded(text)


def test_a_long_chain_of_else_if_is_bounded() -> None:
    with pytest.raises(TemplateError, match="nested deeper"):
        _bounded("{{if 0}}" + "{{else if 0}}" * 5000 + "{{end}}")


def test_forty_else_ifs_are_fine() -> None:
    assert _bounded("{{if 0}}" + "{{else if 0}}" * 40 + "{{else}}x{{end}}") == "x"


_WORDS = r"""
{{ }} {{- -}} ( ) | , . $ := = " ` ' \ % /* */ é if else end range with define template block break continue nil true
$x .Labels .Value printf print index slice len eq lt and or not query first value args tmpl match humanize toTime
reReplaceAll "%5.2f" "%[2]*[1]d" "a" 1 1.5 -3 0x 1e9 999999999999999999999
"""
_PIECES = st.sampled_from([*_WORDS.split(), " ", "\n"])


@settings(max_examples=400, deadline=None)
@given(st.lists(_PIECES, max_size=30).map("".join))
def test_random_templates_fail_only_with_a_template_error(text: str) -> None:
    assert isinstance(expand(text), str)
    template_queries(text)
    with contextlib.suppress(TemplateError):
        check_alert_template(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=12).map(" ".join))
def test_random_actions_fail_only_with_a_template_error(text: str) -> None:
    assert isinstance(expand("{{$x := 1}}{{ " + text + " }}"), str)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_random_text_fails_only_with_a_template_error(text: str) -> None:
    assert isinstance(expand("{{" + text), str)


_ARGS = st.lists(st.one_of(st.none(), st.booleans(), st.integers(-9, 10**12), st.floats(), st.text(max_size=5)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"%+-# 0*.[]123dvsqxXTtcUeEfgGobOp%w", "é"]), max_size=12).map("".join), _ARGS)
def test_no_format_fails(form: str, args: list[object]) -> None:
    assert isinstance(sprintf(form, args), str)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["a*", "", "^a", "b|$", "(a)(b)?", "\\b", "."]), st.text("$1{}ab_", max_size=8), st.text("abé\n")
)
def test_replacing_always_ends(pattern: str, replacement: str, text: str) -> None:
    assert isinstance(replace_all(pattern, replacement, text), str)
