"""The backtest page: a rule beside itself with other values, on a small recording."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from textwrap import indent

import httpx
import pytest
from starlette.applications import Starlette

from rulepush.backtest import EventSource, ReplayOptions
from rulepush.model.labels import Labels
from rulepush.recorded.events import Origin, RecordedEvent, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.site.backtest import BacktestPage, rule_yaml
from rulepush.site.backtest_place import RecordedPlace
from rulepush.site.frame import Frame
from rulepush.site.links import alert_url, backtest_url, rule_url
from tests.backtest.world import T0, ListSource, M, S, marks, merged, scrapes, specs
from tests.recorded.recordings import write
from tests.site.reading import outline
from tests.site.test_alert_page import text_of
from tests.web.app_parts import Parts
from tests.web.asking import ask_app

HOSTILE = "a<script>alert(1)</script>"
RULES = """
groups:
- name: g
  interval: 15s
  labels: {team: infra}
  rules:
  - {alert: Hot, expr: temp > 50, for: 1m, labels: {severity: page}, annotations: {summary: "{{ $value }} <b>"}}
  - record: temp:max
    expr: max(temp)
  - {alert: MaxHot, expr: "temp:max > 50"}
  - {alert: Twin, expr: temp > 1}
  - {alert: Twin, expr: temp > 2, labels: {severity: warn}}
  - {alert: Missing, expr: nowhere > 1}
  - {alert: Broken, expr: temp > on () temp}
  - {alert: SumHot, expr: "temp:sum > 50"}
- name: other
  rules:
  - record: temp:sum
    expr: sum(temp)
"""
# Ten minutes at 40, five at 60, ten at 40, two and a half at 55, and 40 again.
WARM = "40x39 60x19 40x39 55x9 40x60"
HOUR = 60 * M


def events(**rooms: str) -> list[RecordedEvent]:
    series = {f'temp{{room="{room}"}}': values for room, values in (rooms or {"a": WARM}).items()}
    return merged([RecordedStart(T0 - S)], scrapes(series), marks(42 * M))


class Lab(Parts):
    """A rulepush whose recording has what a test writes into it."""

    def __init__(self, directory: Path, recorded: Sequence[RecordedEvent] | None = None, prefix: str = "") -> None:
        super().__init__(prefix=prefix, route_prefix=prefix, rules=RULES)
        self.flushes = 0
        write(directory, events() if recorded is None else recorded)
        self.source: EventSource = Recording(directory)
        self.recorded = self.place()
        self.clock.set_wall(T0 + 42 * M)
        self.set_up = self.routes()

    def place(self) -> RecordedPlace:
        async def flush() -> None:
            self.flushes += 1

        return RecordedPlace(lambda: self.source, flush, ReplayOptions)

    def ask(self, rule: str = "Hot", language: str = "en", **params: str) -> httpx.Response:
        address = f"{self.prefix}{backtest_url('r.yml', 'g', rule)}" if rule else f"{self.prefix}/backtest"
        url = httpx.URL(address).copy_merge_params(params)
        return ask_app(self.set_up, "GET", str(url), headers={"accept-language": language})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def lead(answer: httpx.Response) -> str:
    """The sentence that says what came of it."""
    found = re.search(r'<p class="lead">(.*?)</p>', answer.text, re.DOTALL)
    assert found is not None, text_of(answer)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[1])).split())


def rows(answer: httpx.Response) -> list[str]:
    """The first table of episodes."""
    table = answer.text.partition("<h3>Episodes")[2].partition("</table>")[0]
    cut = [row.partition("</tr>")[0] for row in table.split("<tr>")[2:]]
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split()) for row in cut]


def value_of(answer: httpx.Response, field_name: str) -> str:
    found = re.search(rf'<input id="{field_name}"[^>]* value="([^"]*)"', answer.text)
    assert found is not None
    return unescape(found[1])


def test_a_rule_is_shown_as_it_is_and_its_fields_can_be_edited(lab: Lab) -> None:
    answer = lab.ask()
    assert answer.status_code == 200
    assert lead(answer) == "The current rule fired 2 times."
    assert (value_of(answer, "threshold"), value_of(answer, "for")) == ("50", "1m")
    assert rows(answer) == [
        'room="a" 11-14 22:38:20 11-14 22:39:20 11-14 22:40:50 1m30s 55 14',
        'room="a" 11-14 22:23:20 11-14 22:24:20 11-14 22:28:20 4m 60 12',
    ]
    assert "The rule for a rule file" not in answer.text


def test_another_threshold_is_compared_with_the_rule_as_it_is(lab: Lab) -> None:
    answer = lab.ask(threshold="58")
    text = text_of(answer)
    assert lead(answer) == "The current rule fired 2 times, the edited one fired once. 1 would not have fired."
    assert "temp > 50 → temp > 58" in text
    assert value_of(answer, "threshold") == "58"
    assert [row.split()[0] for row in rows(answer)] == ["current", "both"]
    levels = re.findall(r'<text class="threshold ?(\w*)"[^>]*>([^<]*)</text>', answer.text)
    assert sorted(levels) == [("", "&gt; 50"), ("edited", "&gt; 58")]


def test_the_bands_of_the_current_rule_are_above_those_of_the_edited_one(lab: Lab) -> None:
    svg = lab.ask(threshold="58").text.partition('<svg class="lane"')[2].partition("</figure>")[0]
    bands = re.findall(r'<rect class="band (\w+)" x="([\d.]+)" y="(\d+)"', svg)
    current = [(kind, x) for kind, x, y in bands if int(y) < 20]
    edited = [(kind, x) for kind, x, y in bands if int(y) > 20]
    assert [kind for kind, _ in current] == ["pending", "firing"] * 2
    assert edited == current[:2]


def test_a_longer_for_ends_what_is_short_and_comes_later(lab: Lab) -> None:
    answer = lab.ask(**{"for": "3m"})
    said = "1 would not have fired. 1 would have fired at other times: 2m later."
    assert lead(answer) == f"The current rule fired 2 times, the edited one fired once. {said}"
    assert "1 was pending only" in text_of(answer)


def test_by_how_much_several_alerts_move_is_said_for_the_least(tmp_path: Path) -> None:
    """The first fires at 60 and 47 at once; the second goes beyond 47 two minutes before it goes beyond 50."""
    lab = Lab(tmp_path, events(a="40x20 60x20 40x120", b="40x20 48x7 60x20 40x110", c="40x20 48x3 60x20 40x110"))
    assert "3 would have fired at other times" in lead(lab.ask(**{"for": "2m"}))
    assert lead(lab.ask(threshold="47")).endswith("2 would have fired at other times: 1m earlier at least.")


def test_keep_firing_for_joins_episodes(lab: Lab) -> None:
    answer = lab.ask(keep_firing_for="15m")
    assert "the edited one fired once. 1 would have fired at other times" in lead(answer)


def test_a_lower_threshold_adds_episodes(tmp_path: Path) -> None:
    lab = Lab(tmp_path, events(a=WARM, b="40x100 48x30 40x10"))
    assert "1 would have fired in addition." in lead(lab.ask(threshold="47"))


def test_a_changed_expression_counts_although_the_old_threshold_is_sent_with_it(lab: Lab) -> None:
    answer = lab.ask(expr="temp > 58", threshold="50", shown="50")
    assert value_of(answer, "threshold") == "58"
    assert "the edited one fired once" in lead(answer)
    assert value_of(lab.ask(expr="temp > 58", threshold="59", shown="50"), "threshold") == "59"


def test_a_new_expression_is_tried_without_a_rule(lab: Lab) -> None:
    answer = lab.ask("", expr="max(temp) >= 60", **{"for": "30s"})
    assert lead(answer) == "The rule fired once."
    assert "- alert: NewAlert\n  expr: max(temp) &gt;= 60\n  for: 30s\n" in answer.text
    assert 'href="/backtest?file=r.yml&amp;group=g&amp;rule=Hot"' in answer.text


def test_a_recording_rule_of_the_same_group_is_evaluated_with_it(lab: Lab) -> None:
    assert lead(lab.ask("MaxHot")) == "The current rule fired 2 times."


def test_what_another_group_records_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    was = [replace(one, origin=Origin.RULE) for one in scrapes({"temp:sum": "40x9 60x4 40x9 60x4 40x60"})]
    assert lead(Lab(tmp_path, merged(events(), was)).ask("SumHot")) == "The current rule fired 2 times."
    assert "Current rule: no sample of temp:sum" in text_of(Lab(tmp_path / "without").ask("SumHot"))


def test_each_of_two_rules_of_one_name_can_be_tried(lab: Lab) -> None:
    assert value_of(lab.ask("Twin"), "threshold") == "1"
    second = lab.ask("Twin", number="2")
    assert value_of(second, "threshold") == "2"
    assert '<input type="hidden" name="number" value="2">' in second.text
    assert lab.ask("Twin", number="3").status_code == 404


def test_the_edited_rule_is_written_as_yaml_that_is_the_edited_rule(lab: Lab) -> None:
    answer = lab.ask(threshold="58", **{"for": "2m"})
    found = re.search(r'<pre class="yaml">(.*?)</pre>', answer.text, re.DOTALL)
    assert found is not None
    text = "groups:\n- name: g\n  labels: {team: infra}\n  rules:\n" + indent(unescape(found[1]), "  ")
    (rule,) = specs(text)[0].rules
    assert str(rule.query) == "temp > 58"
    assert dict(rule.labels) == {"severity": "page", "team": "infra"}
    assert "team" not in found[1]
    assert rule_yaml(rule, {"team": "infra"}) == unescape(found[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "place", "said"),
    [
        ({"for": "5 minutes"}, "for", "'5 minutes' is not a duration such as 5m or 1h30m"),
        ({"keep_firing_for": "-1m"}, "keep_firing_for", "'-1m' is not a duration"),
        ({"threshold": "80%"}, "threshold", "'80%' is not a number"),
        ({"threshold": "1) or (2"}, "threshold", "is not a number"),
        ({"threshold": "9" * 10_000}, "threshold", "is not a number"),
        ({"expr": "temp", "threshold": "5"}, "threshold", "The expression compares nothing with a number"),
        ({"range": "3h"}, "range", "The range '3h' is none of 1h, 6h, 12h, 24h"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(lab: Lab, params: dict[str, str], place: str, said: str) -> None:
    answer = lab.ask(**params)
    fault = re.search(rf'<span class="wrong" id="{place}-fault" role="alert">(.*?)</span>', answer.text)
    assert fault is not None
    assert said in unescape(fault[1])
    assert f'aria-invalid="true" aria-describedby="{place}-fault"' in answer.text
    assert '<h2 id="result">' not in answer.text


def test_a_parse_error_shows_its_place(lab: Lab) -> None:
    answer = lab.ask(expr="sum(temp) by bogus")
    assert "<mark>bogus</mark>" in answer.text
    assert "rule result is not a vector or scalar" in text_of(lab.ask(expr="temp[5m]"))


def test_an_unknown_rule_is_404_and_others_can_be_chosen(lab: Lab) -> None:
    answer = lab.ask("Nothing")
    assert answer.status_code == 404
    assert "No alerting rule Nothing is in force there." in text_of(answer)
    assert ">Hot</a>" in answer.text
    assert lab.ask("temp:max").status_code == 404, "a recording rule has no alerts"


def test_of_many_rules_the_first_can_be_chosen() -> None:
    many = ", ".join(f"{{alert: A{i:03d}, expr: temp > {i}}}" for i in range(200))
    groups = ", ".join(f"{{name: g{n}, rules: [{many}]}}" for n in range(2))
    page = outline(Parts(rules=f"groups: [{groups}]"), "/backtest")
    chosen = [link for link in page.links if link.startswith("/backtest?file=")]
    assert len(chosen) == 300
    assert chosen[-1] == "/backtest?file=r.yml&group=g1&rule=A099"
    assert "100 more: each rule's own page leads here, too." in page.text


def test_without_a_recording_the_page_says_how_to_switch_it_on() -> None:
    parts = Parts(rules=RULES)
    page = outline(parts, "/backtest?group=g&rule=Hot&threshold=3")
    assert "storage: record: {retention: 24h, max_size: 512MB}" in page.text
    assert "Result" not in page.text


def test_an_empty_recording_and_one_of_another_time_are_told_apart(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "empty", [])
    assert "nothing is recorded yet" in text_of(lab.ask())
    old = Lab(tmp_path / "old")
    old.clock.set_wall(T0 + 10 * HOUR)
    assert "Nothing of this range is recorded: the recording goes from 2023-11-14 22:13:19 UTC" in text_of(old.ask())
    assert lead(old.ask(range="24h")) == "The current rule fired 2 times."


def test_a_recording_that_has_stopped_is_said(lab: Lab) -> None:
    place = lab.place()
    lab.recorded = RecordedPlace(place.source, place.flush, place.replay, T0 + 12 * M, "no space left on <device>")
    text = text_of(lab.ask())
    assert "Recording has stopped 30m ago : what came since is missing. no space left on <device>" in text


def test_a_damaged_recording_is_tried_as_far_as_it_goes(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (file,) = tmp_path.glob("*.seg") or list(tmp_path.iterdir())
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 0xFF
    file.write_bytes(bytes(body))
    lab.source = Recording(tmp_path)
    answer = lab.ask()
    assert "A part of the recording could not be read:" in text_of(answer)
    assert lead(answer) == "The current rule fired once."


def test_gaps_of_the_recording_are_named_and_drawn(tmp_path: Path) -> None:
    before = [one for one in events() if one.at <= T0 + 5 * M]
    after = [one for one in events() if one.at > T0 + 12 * M]
    lab = Lab(tmp_path, [*before, RecordedStart(T0 + 12 * M), *after])
    answer = lab.ask()
    assert "Nothing was recorded from 2023-11-14 22:18:20 UTC to 2023-11-14 22:25:20 UTC (7m" in text_of(answer)
    assert answer.text.count('<rect class="band unseen"') == 2, "in the chart, and in the lane"
    assert "or before" in rows(answer)[-1]


def test_a_rule_that_fails_and_one_that_reads_nothing_are_said(tmp_path: Path) -> None:
    lab = Lab(tmp_path, events(a=WARM, b=WARM))
    assert "Current rule: no sample of nowhere in the recording" in text_of(lab.ask("Missing"))
    text = text_of(lab.ask("Broken", expr="temp > 58"))
    assert re.search(
        r"Current rule: \d+ evaluations failed, 2023-11-14 22:13:20 UTC - 2023-11-14 22:55:20 UTC : ", text
    )
    assert "many-to-many matching not allowed" in text or "duplicate series" in text
    assert "The current rule did not fire, the edited one fired 2 times." in text


def test_of_many_alerts_the_longest_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    rooms = {f"r{i:03d}": f"40x20 60x{6 + i} 40x{150 - i}" for i in range(120)}
    answer = Lab(tmp_path, events(**rooms)).ask()
    assert answer.text.count('<figure class="lane">') == 15
    assert 'id="lane-1"><span class="label">room=&#34;r119&#34;</span>' in answer.text
    text = text_of(answer)
    assert "The 15 alerts that fire for longest are shown, 105 more are not." in text
    assert "100 of 120 are shown." in text


def test_an_alert_that_fired_stands_above_one_that_was_pending_for_longer(tmp_path: Path) -> None:
    waited = "40x20 60x2 40x5 60x2 40x5 60x2 40x60"
    answer = Lab(tmp_path, events(waited=waited, fired="40x20 60x5 40x90")).ask()
    assert re.findall(r'id="lane-\d"><span class="label">room=&#34;(\w+)&#34;', answer.text) == ["fired", "waited"]


def test_hostile_labels_are_text(tmp_path: Path) -> None:
    lab = Lab(tmp_path, events(**{HOSTILE: WARM, "x" * 10_000: WARM}))
    answer = lab.ask(threshold="58", expr='temp > 5 or temp{room="<i>"} > 3')
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "<i>" not in answer.text
    assert "&lt;script&gt;alert" in answer.text
    assert answer.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )


def test_links_and_the_form_have_the_prefix(tmp_path: Path) -> None:
    lab = Lab(tmp_path, prefix="/rp")
    answer = lab.ask(threshold="58")
    assert lead(answer).endswith("1 would not have fired.")
    paths = re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text)
    assert len(paths) > 10
    assert [path for path in paths if not path.startswith("/rp/")] == []
    assert '<form action="/rp/backtest"' in answer.text


def test_the_page_is_in_chinese(lab: Lab) -> None:
    answer = lab.ask(language="zh", threshold="58")
    assert lead(answer) == "当前规则触发 2 次，修改后的规则触发一次。 有 1 次不会触发。"
    assert lead(lab.ask(language="zh", **{"for": "3m"})).endswith("有 1 次触发时间不同：晚 2分。")


def test_pages_of_rules_and_alerts_lead_here(lab: Lab) -> None:
    at = lab.clock.now() - T0
    lab.world.put(at, 70, name="temp", room="z")
    lab.world.tick(at)
    rule = ask_app(lab.set_up, "GET", rule_url("r.yml", "g", "Twin"))
    assert 'href="/backtest?file=r.yml&amp;group=g&amp;rule=Twin"' in rule.text
    assert 'href="/backtest?file=r.yml&amp;group=g&amp;rule=Twin&amp;number=2"' in rule.text
    warn = Labels.of(alertname="Twin", room="z", severity="warn", team="infra")
    alert = ask_app(lab.set_up, "GET", alert_url(warn))
    assert 'href="/backtest?file=r.yml&amp;group=g&amp;rule=Twin&amp;number=2"' in alert.text
    assert "/backtest?" not in ask_app(lab.set_up, "GET", rule_url("r.yml", "g", "temp:max")).text


def test_what_was_asked_a_moment_ago_is_not_computed_again(lab: Lab) -> None:
    first = lead(lab.ask(threshold="58"))
    assert lab.flushes == 1
    assert lead(lab.ask(threshold="58")) == first
    assert lead(lab.ask(threshold="58", lang="zh")) != first
    assert lab.flushes == 1
    lab.ask(threshold="57")
    assert lab.flushes == 2
    lab.clock.set_wall(lab.clock.now() + M)
    lab.ask(threshold="58")
    assert lab.flushes == 3, "a minute later there is more"
    lab.world.reload(RULES.replace("temp > 50", "temp > 51"), lab.clock.now() - T0)
    assert "temp > 51 → temp > 58" in text_of(lab.ask(threshold="58"))


def test_it_counts_as_a_query(lab: Lab) -> None:
    before = lab.evaluator.counts.queries
    lab.ask("", expr="temp > 3")
    assert lab.evaluator.counts.queries == before + 2, "the backtest and its chart"


@dataclass
class SlowSource(ListSource):
    """Events that come late: after `fast` of them the time of a query is over."""

    lab: Lab | None = None
    fast: int = 60
    told: int = field(default=0)

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        for event in super().events(start, end):
            if self.told == self.fast and self.lab is not None:
                self.lab.clock.stall(11)
            self.told += 1
            yield event


def test_what_takes_too_long_ends_and_says_how_far_it_came(lab: Lab) -> None:
    everything = events()
    slow = SlowSource(everything, lab=lab, fast=2100)
    lab.source = slow
    slow.listed = merged(everything, [RecordedStart(T0 - M + i) for i in range(2000)])
    answer = lab.ask()
    text = text_of(answer)
    assert "Ended after 10 s, at 2023-11-14 22:2" in text, text
    assert "what would have come after that is not shown. Choose a shorter range." in text
    assert slow.told < len(slow.listed)
    assert '<rect class="band unseen"' in answer.text
    lab.ask()
    assert lab.flushes == 2, "the next attempt may come further"


class UnreadableSource(ListSource):
    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        raise PermissionError(13, "Permission denied", "/state/recording/x")


def test_a_recording_that_cannot_be_read_is_an_error_on_the_page(lab: Lab) -> None:
    lab.source = UnreadableSource(events())
    answer = lab.ask()
    assert answer.status_code == 200
    assert "the recording cannot be read: [Errno 13] Permission denied: '/state/recording/x'" in text_of(answer)


def test_one_backtest_runs_at_a_time_and_the_next_does_not_wait_for_long(lab: Lab) -> None:
    place = lab.place()
    started, release = asyncio.Event(), asyncio.Event()

    async def flush() -> None:
        started.set()
        await release.wait()

    waiting = RecordedPlace(place.source, flush, place.replay)
    page = BacktestPage(Frame(lab.clock), lab.world.groups, lab.evaluator, lambda: waiting, max_seconds=0.05)

    async def both() -> tuple[str, str]:
        transport = httpx.ASGITransport(app=_app(page))
        async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
            first = asyncio.create_task(client.get("/backtest?group=g&rule=Hot"))
            await started.wait()
            second = await client.get("/backtest?group=g&rule=Hot&threshold=58")
            release.set()
            return text_of(await first), text_of(second)

    first, second = asyncio.run(both())
    assert "The current rule fired" in first or "timed out" in first
    assert "Other backtests are running: try again in a moment." in second


def _app(page: BacktestPage) -> Starlette:
    return Starlette(routes=page.routes())
