"""The pages of alerts and rules draw from the recording, as far back as it reaches."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from rulepush.model.labels import Labels
from rulepush.site.links import rule_url
from rulepush.site.ranges import RANGES, offered_ranges
from tests.rules.world import M, S
from tests.site.test_alert_page import ROOM, House, text_of
from tests.web.fake_past import FakePast

H = 60 * M
NOW = 1_700_000_000_000


def recorded(hours: int) -> House:
    """A house whose temperature was recorded every half a minute."""
    house = House()
    for at in (0, 30):
        house.goes(at, 70)
    now = house.clock.now()
    past = FakePast([(now - hours * H, now)])
    for at in range(now - hours * H, now + 1, 30 * S):
        past.append(Labels.of(__name__="temp", room=ROOM), at, 40.0 + (now - at) / H)
    house.past = past
    return house


def points(page: str) -> list[list[float]]:
    """[[ms, value], ...] of the line drawn."""
    (found,) = re.findall(r'data-points="([^"]*)"', page)
    read: list[list[float]] = json.loads(unescape(found))
    return read


@pytest.mark.parametrize("hours", [2, 20])
def test_charts_reach_as_far_back_as_the_recording(hours: int) -> None:
    house = recorded(hours)
    for answer in (house.page(query="?range=1d"), house.ask(rule_url("r.yml", "g", "Hot") + "&range=1d")):
        drawn = points(answer.text)
        now = house.clock.now()
        assert drawn[0][0] == pytest.approx(now - hours * H, abs=12 * M)
        assert drawn[0][1] == pytest.approx(40 + hours, abs=0.2)
        assert drawn[-1] == [now, 40]
        assert "Not all samples of this time are kept." in text_of(answer)
        assert "and recorded since " in answer.text
    whole = house.page(query="?range=1h")
    assert "Not all samples" not in text_of(whole)


def test_without_a_recording_a_long_chart_says_what_is_missing() -> None:
    house = House()
    for at in (0, 30):
        house.goes(at, 70)
    answer = house.page(query="?range=1d", language="zh")
    assert "这段时间的样本没有全部保留。" in text_of(answer)
    assert "raise `storage.retention`" in answer.text


def test_ranges_are_offered_as_the_recording_grows() -> None:
    always = ["5m", "15m", "1h", "6h", "1d"]
    assert offered_ranges(None, NOW) == always
    assert offered_ranges(NOW - 5 * H, NOW) == always
    assert offered_ranges(NOW - 7 * H, NOW) == ["5m", "15m", "1h", "6h", "12h", "1d"]
    assert offered_ranges(NOW - 25 * H, NOW) == ["5m", "15m", "1h", "6h", "12h", "1d", "2d"]
    assert offered_ranges(NOW - 49 * H, NOW) == list(RANGES)
    page = recorded(20).page().text
    assert re.findall(r'href="[^"]*range=(\w+)#value"', page) == ["5m", "15m", "1h", "6h", "12h", "1d"]
    assert "range=12h" not in House().page().text


def test_a_page_with_a_long_chart_is_made_anew_less_often() -> None:
    house = recorded(2)
    assert 'data-refresh="15"' in house.page(query="?range=1h").text
    assert 'data-refresh="120"' in house.page(query="?range=6h").text
    assert 'data-refresh="120"' in house.ask(rule_url("r.yml", "g", "Hot") + "&range=1d").text
