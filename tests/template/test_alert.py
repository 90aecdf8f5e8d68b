"""What rules ask of templates: expansion that never fails, checks at load, queries for the demand."""

from __future__ import annotations

import pytest

from rulepush.gotext.errors import TemplateError
from rulepush.model.labels import Labels
from rulepush.template import (
    UNKNOWN_NUMBER,
    UNKNOWN_TEXT,
    AlertTemplateData,
    TemplateQueries,
    TemplateSyntaxError,
    check_alert_template,
    template_queries,
)
from tests.template.alerts import expand


def test_a_text_without_actions_stays_as_it_is() -> None:
    assert expand("100% down } }}") == "100% down } }}"


def test_a_query_that_fails_becomes_the_text() -> None:
    assert expand('{{ query "bad" }}') == (
        "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: "
        'executing "__alert_A" at <query "bad">: error calling query: cannot evaluate bad>'
    )


def test_a_template_that_does_not_parse_becomes_the_text() -> None:
    assert expand("{{ nope }}") == (
        "<error expanding template: error parsing template __alert_A: "
        'template: __alert_A:1: function "nope" not defined>'
    )


def test_the_same_text_serves_every_alert() -> None:
    def data(instance: str, value: float) -> AlertTemplateData:
        return AlertTemplateData(Labels.of(instance=instance), Labels(), "", value)

    text = "{{ $labels.instance }} at {{ $value | humanize }}"
    assert expand(text, data("a", 1500.0)) == "a at 1.5k"
    assert expand(text, data("b", 0.5)) == "b at 500m"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{{ nope }}", 1, 'function "nope" not defined'),
        ("ok\n{{ $label.x }}", 2, 'undefined variable "$label"'),
        ("a\nb\n{{ if }}{{ end }}", 3, "missing value for if"),
        ("{{ “x” }}", 1, "unrecognized character in action: U+201C '“'"),
        ("{{ $labels.x }", 1, 'unexpected "}" in operand'),
        ("{{ range $labels }}", 1, "unexpected EOF"),
    ],
)
def test_a_check_finds_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        check_alert_template(text, "A")
    assert (caught.value.line, caught.value.message) == (line, message)
    assert str(caught.value) == f"template: __alert_A:{line}: {message}"
    assert isinstance(caught.value, TemplateError)


@pytest.mark.parametrize("text", ["", "plain", "{{ $labels.a }}{{ $value }}{{ $externalURL }}{{ $externalLabels.b }}"])
def test_a_check_accepts_what_alerts_use(text: str) -> None:
    check_alert_template(text)


def test_literal_queries_are_found_wherever_they_stand() -> None:
    text = (
        '{{ with query "a" }}{{ range query `b{x="y"}` }}{{ end }}{{ else }}{{ (query "c" | first).Value }}{{ end }}'
        '{{ "d" | query | first | value }}{{ if gt ("e" | query | len) 1 }}{{ end }}'
        '{{ define "t" }}{{ query "f" }}{{ end }}{{ template "t" (query "g") }}{{ query (printf "%s" "h") }}'
        '{{ query "a" }}'
    )
    assert sorted(template_queries(text).literals) == ["a", 'b{x="y"}', "c", "d", "e", "f", "g"]


def test_a_text_that_does_not_parse_has_no_queries() -> None:
    assert template_queries('{{ query "a" ') == TemplateQueries()
    assert template_queries("plain") == TemplateQueries()


def test_queries_that_are_put_together_are_known_as_far_as_a_format_tells() -> None:
    text = (
        """{{ query (printf "a{b='%s',c=%q} / 100%% > %d" $labels.b $labels.c 5) }}"""
        """{{ with printf "sum(d{e=~'%v.*'})" $labels.e | query }}{{ . | first | value }}{{ end }}"""
        """{{ range query $labels.q }}{{ end }}{{ query (print "f" "g") }}{{ query ("h") }}"""
        """{{ $value | printf "%v" | query }}"""
    )
    found = template_queries(text)
    assert found.literals == ("h",)
    assert found.patterns == (
        f"""a{{b='{UNKNOWN_TEXT}',c="{UNKNOWN_TEXT}"}} / 100% > {UNKNOWN_NUMBER}""",
        f"sum(d{{e=~'{UNKNOWN_TEXT}.*'}})",
        UNKNOWN_TEXT,
    )
    assert found.computed == ("$labels.q", 'print "f" "g"')
