"""The language itself, against what Go answered."""

from __future__ import annotations

import pytest

from rulepush.errors import EvaluationError
from rulepush.gotext.errors import TemplateError
from rulepush.gotext.values import ANY_MAP, GoKind, GoMap, GoObject, GoType
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.template import Template
from rulepush.template.prometheus import STATIC_FUNCTIONS, bound_prometheus_functions
from tests.template.cases import HERE, Case, read_cases


class _Data(GoObject):
    """The struct that the cases were run with."""

    TYPE = GoType(
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
        GoKind.STRUCT,
    )
    INTERFACE_FIELDS = frozenset({"Value"})

    def fields(self) -> dict[str, object]:
        return {
            "Labels": GoMap({"a": "x", "b": "y", "instance": "h:1"}),
            "ExternalLabels": GoMap({}),
            "ExternalURL": "http://e/p",
            "Value": 1234567.5,
        }


def _query(expr: str) -> list[Sample]:
    if expr == "err":
        raise EvaluationError("boom")
    if expr == "none":
        return []
    return [
        Sample(Labels({"__name__": "m", "i": "b"}), 0, 11.0),
        Sample(Labels({"__name__": "m", "i": "a", "__value__": "sv"}), 0, 21.5),
    ]


FUNCTIONS = {**STATIC_FUNCTIONS, **bound_prometheus_functions(_query, 0, "")}


def _execute(text: str) -> str:
    return Template.parse(text, FUNCTIONS, "t").execute(_Data())


@pytest.mark.parametrize("case", read_cases(HERE / "language.cases"), ids=lambda case: case.template)
def test_a_template_means_what_it_means_in_go(case: Case) -> None:
    if case.fails:
        with pytest.raises(TemplateError) as caught:
            _execute(case.template)
        assert str(caught.value) == case.expected
    else:
        assert _execute(case.template) == case.expected


def test_lines_and_columns_of_errors_count_from_the_start_of_the_text() -> None:
    with pytest.raises(TemplateError, match=r'^template: t:3:6: executing "t" at <\.Nope>'):
        _execute("a\n{{ .Value }}\né {{ .Nope }}")


def test_an_error_in_an_action_of_several_lines_names_where_it_began() -> None:
    with pytest.raises(TemplateError, match=r"^template: t:4: unclosed action started at t:2$"):
        _execute("a\n{{ .Value\n\n")


def test_a_pipeline_may_span_lines() -> None:
    assert _execute('{{ .Labels.a\n   | printf "%s-%s"\n "b" }}') == "b-x"


def test_a_plain_dict_and_list_are_data_too() -> None:
    template = Template.parse("{{ range .items }}{{ .name }};{{ end }}{{ .none }}")
    assert template.execute({"items": [{"name": "a"}, {"name": "b"}]}) == "a;b;<no value>"


def test_maps_are_walked_in_the_order_of_their_keys() -> None:
    data = GoMap({"b": 1, "a": 2, "C": 3}, ANY_MAP)
    assert Template.parse("{{ range $k, $v := . }}{{ $k }}{{ $v }} {{ end }}").execute(data) == "C3 a2 b1 "


def test_a_later_text_replaces_templates_unless_it_is_empty() -> None:
    first = Template.parse('{{ define "a" }}old{{ end }}{{ define "b" }}kept{{ end }}')
    both = first.with_text('{{ define "a" }}new{{ end }}{{ define "b" }} {{ end }}', "more")
    assert both.execute(None, name="a") == "new"
    assert both.execute(None, name="b") == "kept"
    assert first.execute(None, name="a") == "old"


def test_bytes_that_are_no_utf8_never_leave_a_template() -> None:
    assert _execute('{{ slice "é" 0 1 }}{{ "\\xff" }}') == "��"
