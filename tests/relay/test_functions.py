"""The relay's template functions and data, a case a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.gotext.errors import TemplateError
from rulepush.relay.functions import FUNCTIONS
from rulepush.relay.settings import Language, Mention
from rulepush.relay.sprig import bound_sprig_functions
from rulepush.relay.template_data import TemplateAlert, TemplateData, show_duration, show_time, zone
from rulepush.template import Template
from tests.relay.fake_robot import NOW, alert, notification
from tests.template.cases import Case, read_cases

NOTIFICATION = notification(
    [
        alert(labels={"job": "nacos"}, annotations={"summary": "a_b"}),
        alert(instance="10.0.0.2:8848", resolved=True),
        alert(instance="10.0.0.3:8848"),
    ]
)
DATA = TemplateData(
    NOTIFICATION,
    [TemplateAlert(a, NOW, Language.EN, zone("Asia/Shanghai")) for a in NOTIFICATION.alerts],
    Mention(mobiles=("138", "139"), user_ids=("u",)),
)


def _execute(text: str) -> str:
    return Template.parse(text, FUNCTIONS).execute(DATA, functions=bound_sprig_functions(NOW))


CASES = [case for name in ("functions.cases", "sprig.cases") for case in read_cases(Path(__file__).parent / name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.template)
def test_a_template_of_the_relay(case: Case) -> None:
    assert _execute(case.template) == case.expected


@pytest.mark.parametrize(
    "text",
    [
        '{{ env "HOME" }}',
        '{{ expandenv "$HOME" }}',
        "{{ div 1 0 }}",
        '{{ repeat 1000000000 "x" }}',
        '{{ regexMatch "(" "x" }}',
        "{{ first 5 }}",
        '{{ date "2006" "soon" }}',
        "{{ .Alerts.Firing.Nope }}",
        "{{ .Nope }}",
    ],
)
def test_what_cannot_be_fails_with_a_template_error(text: str) -> None:
    with pytest.raises(TemplateError):
        _execute(text)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("args", ["", "nil", '"x"', "1 2", '"a" "b" "c"', "-1 .Alerts", ".CommonLabels 5", "1e300 1.5"])
def test_no_function_fails_with_anything_but_a_template_error(name: str, args: str) -> None:
    try:
        _execute("{{ " + name + " " + args + " }}")
    except TemplateError:
        return


@pytest.mark.parametrize(
    ("ms", "english", "chinese"),
    [
        (0, "0s", "0秒"),
        (59_999, "59s", "59秒"),
        (3_600_000, "1h", "1小时"),
        (3_725_000, "1h 2m", "1小时 2分钟"),
        (3_605_000, "1h", "1小时"),
        (90_061_000, "1d 1h", "1天 1小时"),
        (-5, "0s", "0秒"),
    ],
)
def test_durations_show_their_two_largest_units(ms: int, english: str, chinese: str) -> None:
    assert show_duration(ms, Language.EN) == english
    assert show_duration(ms, Language.ZH) == chinese


def test_times_beyond_the_calendar_do_not_fail() -> None:
    assert show_time(10**18, zone("UTC")) == str(10**18)
