"""The explanation of a rule on a page, in English and Chinese."""

from __future__ import annotations

import asyncio

import pytest

from rulepush.model.labels import Labels
from rulepush.site.environment import templates
from rulepush.site.explained import ExplainedView, explained_view
from rulepush.site.framed import FramedPage
from rulepush.site.language import Language
from rulepush.web.explain import RuleExplainer
from tests.rules.world import T0
from tests.site.reading import Outline
from tests.web.app_parts import Parts

FRAGMENT = """
{% from "explain_macros.html" import explanation, explained_alert with context %}
<main>{{ explained_alert(view) }}{{ explanation(view) }}</main>
"""


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def view_of(parts: Parts, name: str, alert: Labels | None = None, group: str = "queues") -> ExplainedView:
    explainer = RuleExplainer(parts.evaluator, parts.world.groups, parts.jobs, parts.clock)
    return asyncio.run(explained_view(explainer, "r.yml", group, name, alert))


def html_of(view: ExplainedView, language: Language = Language.ENGLISH) -> str:
    page = FramedPage("x", "/rules", "/rules", "", language, "", T0, (), (), "", "")
    return templates().from_string(FRAGMENT).render(view=view, page=page)


def text_of(view: ExplainedView, language: Language = Language.ENGLISH) -> str:
    """The text of the fragment, which must be well-formed."""
    outline = Outline()
    outline.feed(html_of(view, language))
    assert outline.open == []
    return " ".join(outline.text.split())


def test_why_a_rule_has_no_result_and_the_parts_of_its_expression(parts: Parts) -> None:
    text = text_of(view_of(parts, "Never"))
    assert text.startswith("> 1000000000 drops 1 of 1 the nearest: ")
    assert "7 is 999999993 under 1000000000 (100.0 %)" in text
    assert "The expression, its parts and their values now > 1000000000 0 of 1 this is why dropped:" in text
    assert "queue_size 1 series" in text


def test_an_alert_says_when_it_fires(parts: Parts) -> None:
    (alert,) = (a.labels for r in parts.world.groups.alerting_rules() for a in r.alerts if r.spec.name == "QueueLong")
    text = text_of(view_of(parts, "QueueLong", alert))
    assert "fires at the evaluation of 2023-11-14T22:43:35Z (in 30m) if it stays so: `for` is 30m" in text
    assert "in the result The expression" not in text
    rule = text_of(view_of(parts, "QueueLong"))
    assert "1 in the result The expression" in rule
    assert "fires at" not in rule


def test_an_alert_that_the_rule_does_not_remember_has_no_reasons(parts: Parts) -> None:
    view = view_of(parts, "QueueLong", Labels.of(alertname="QueueLong", q="other"))
    assert view.alert is None
    assert view.found is not None


def test_chinese(parts: Parts) -> None:
    text = text_of(view_of(parts, "Never"), Language.CHINESE)
    assert "> 1000000000 过滤掉 1 个中的 1 个" in text
    assert "7 比 1000000000 低 999999993 (100.0 %)" in text
    assert "表达式、各部分及其当前值" in text


def test_labels_and_errors_are_escaped(parts: Parts) -> None:
    assert "a&lt;b&gt;" in html_of(view_of(parts, "Never"))
    assert "a<b>" not in html_of(view_of(parts, "Never"))
    failing = text_of(view_of(parts, "Broken"))
    assert "found duplicate series for the match group {}" in failing
    assert "cannot be evaluated" in failing


def test_what_cannot_be_explained_is_a_box_and_no_error_page(parts: Parts) -> None:
    view = view_of(parts, "Zzzzzz")
    assert text_of(view) == "This rule cannot be explained now: no rule is called 'Zzzzzz': there are 5 others"
    assert "<script>" not in html_of(ExplainedView(error="<script>"))
