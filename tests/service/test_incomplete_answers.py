"""A whole rulepush with two jobs, of which the rules read one: what its API and pages say of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.service.app import App
from rulepush.web.routes import web_routes
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.faults.inside import Inside

RULES = """
{alert: Down, expr: 'up{job="app"} == 0'},
{alert: Busy, expr: 'sum(rate(app_requests_total{job="app"}[5m])) > 1000', annotations: {summary: '{{ $value }}'}},
{record: 'job:busy', expr: 'sum by (job) (app_busy)'},
{alert: Mean, expr: 'avg_over_time(job:busy[10m]) > 5'}
"""
MINUTE = 60


class Asked:
    """The API of a running App."""

    def __init__(self, app: App):
        transport = httpx.ASGITransport(app=build_app(web_routes(app.web_parts()), WebSecurity()))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://rulepush")

    async def warnings(self, path: str, **params: str) -> list[str]:
        answer = (await self.client.get(f"/api/v1/{path}", params=params)).json()
        assert answer["status"] == "success", answer
        found: list[str] = answer.get("warnings", [])
        return found

    async def query(self, expr: str) -> list[str]:
        return await self.warnings("query", query=expr)

    async def page(self, expr: str) -> str:
        return (await self.client.get("/graph", params={"g0.expr": expr})).text


def play(
    directory: Path,
    act: Callable[[Inside, App, Asked], Awaitable[None]],
    rules: str = RULES,
    before: Callable[[Inside], None] = lambda _: None,
) -> Inside:
    inside = Inside(directory, rules, targets=("a", "b"))
    config = directory / "prometheus.yml"
    other = "- {job_name: other, static_configs: [{targets: [c, d]}]}\nalerting:"
    config.write_text(config.read_text().replace("alerting:", other))
    for target in "abcd":
        inside.network.metrics[target] = "app_requests_total 5\napp_busy 1\nunused 3\n"
    before(inside)
    again(inside, act)
    return inside


def recording(directory: Path, act: Callable[[Inside, App, Asked], Awaitable[None]]) -> None:
    """The same with everything recorded."""

    def record(inside: Inside) -> None:
        inside.options = replace(inside.options, storage_path=directory / "state")
        config = directory / "prometheus.yml"
        config.write_text(config.read_text() + "storage: {record: {retention: 1h}}\n")

    play(directory, act, before=record)


def again(inside: Inside, act: Callable[[Inside, App, Asked], Awaitable[None]]) -> None:
    async def go() -> None:
        async with inside.running() as app:
            asked = Asked(app)
            await act(inside, app, asked)
            await asked.client.aclose()

    asyncio.run(go())


def test_an_answer_that_is_smaller_than_it_should_be_says_so(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(11 * MINUTE)
        (narrow,) = await asked.query("count(up)")
        assert 'of up the rules need only up{job="app"} (kept for 5m, since ' in narrow
        (narrow,) = await asked.query("sum(rate(app_requests_total[5m]))")
        assert 'of app_requests_total the rules need only app_requests_total{job="app"} (kept for 5m, since' in narrow
        (late,) = await asked.query('sum(rate(app_requests_total{job="app"}[15m]))')
        assert 'app_requests_total{job="app"} is read from ' in late
        assert len(await asked.query('up{job="app"} offset 10m')) == 1
        assert len(await asked.query('up{job="other"}')) == 1
        assert len(await asked.query("unused")) == 1
        now = inside.clock.now() / 1000
        ranged = {"query": 'up{job="app"}', "end": str(now), "step": "15"}
        assert len(await asked.warnings("query_range", start=str(now - 900), **ranged)) == 1
        assert "of up the rules need only up{job=&#34;app&#34;} (kept" in await asked.page("count(up)")

    play(tmp_path, act)


def test_what_the_rules_read_says_nothing(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(11 * MINUTE)
        for group in app.alerting.groups.all():
            for rule in group.rules:
                assert await asked.query(str(rule.spec.query)) == []
                assert "rulepush: " not in await asked.page(str(rule.spec.query))
        for expr in (
            "ALERTS",
            "job:busy",
            'count(up{job="app"})',
            'up{job="app",instance="a"}',
            "app_busy > 0",
            "1 + 1",
        ):
            assert await asked.query(expr) == []
        now = inside.clock.now() / 1000
        ranged = {"query": "job:busy", "start": str(now - 200), "end": str(now), "step": "15"}
        assert await asked.warnings("query_range", **ranged) == []

    play(tmp_path, act)


def test_lists_of_series_and_labels_say_what_is_not_in_them(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(11 * MINUTE)
        for path in ("labels", "label/job/values", "label/__name__/values"):
            (warning,) = await asked.warnings(path)
            assert "of all series the rules need only " in warning
        (warning,) = await asked.warnings("series", **{"match[]": "up"})
        assert 'of up the rules need only up{job="app"} (kept' in warning
        assert await asked.warnings("series", **{"match[]": 'up{job="app"}'}) == []
        assert await asked.warnings("label/job/values", **{"match[]": 'up{job="app"}'}) == []
        before = str(inside.clock.now() / 1000 - 3600)
        assert len(await asked.warnings("labels", start=before, **{"match[]": "app_busy"})) == 1

    play(tmp_path, act)


def test_the_newest_samples_suffice_where_only_they_are_read(tmp_path: Path) -> None:
    """A metric that rules read over a minute is kept for less than an instant selector looks back."""

    async def act(inside: Inside, app: App, asked: Asked) -> None:
        for target in "ab":
            inside.network.metrics[target] += "app_short 2\n"
        await inside.clock.advance(11 * MINUTE)
        now = inside.clock.now() / 1000
        last = {"query": "app_short", "end": str(now), "step": "15"}
        for expr in ("app_short", "sum(app_short) / count(app_short)", "app_short offset 30s", "rate(app_short[1m])"):
            assert await asked.query(expr) == []
        assert await asked.warnings("query_range", start=str(now - 60), **last) == []
        assert len(await asked.warnings("query_range", start=str(now - 110), **last)) == 1
        assert len(await asked.query("app_short offset 2m")) == 1
        assert len(await asked.query("rate(app_short[2m])")) == 1
        assert len(await asked.query("app_short + rate(app_short[2m])")) == 1

    play(tmp_path, act, "{alert: Short, expr: 'rate(app_short[1m]) > 5'}")


def test_an_explanation_of_the_past_says_what_it_lacks(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(11 * MINUTE)
        now = inside.clock.now() / 1000
        assert await asked.warnings("rules/explain", name="Busy") == []
        assert await asked.warnings("rules/explain", name="Busy", time=str(now)) == []
        (late,) = await asked.warnings("rules/explain", name="Busy", time=str(now - 600))
        assert 'app_requests_total{job="app"} is read from ' in late

    play(tmp_path, act)


def test_the_chart_of_a_rule_says_what_its_threshold_lacks(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(2 * MINUTE)
        page = (await asked.client.get("/rules/g/Above", params={"range": "1h"})).text
        assert "rulepush: incomplete: app_busy is read from " in page
        assert "rulepush: incomplete: app_limit is read from " in page

    play(tmp_path, act, "{alert: Above, expr: 'app_busy > avg_over_time(app_limit[3m])'}")


def test_metadata_is_that_of_all_metrics_that_are_exposed(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        for target in "abcd":
            inside.network.metrics[target] = "# HELP unused Of no rule.\n# TYPE unused gauge\nunused 3\n"
        await inside.clock.advance(MINUTE)
        answer = (await asked.client.get("/api/v1/metadata")).json()
        assert answer["data"] == {"unused": [{"type": "gauge", "help": "Of no rule.", "unit": ""}]}

    play(tmp_path, act)


def test_with_everything_kept_only_the_time_is_reported(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        config = tmp_path / "prometheus.yml"
        config.write_text(config.read_text() + "storage: {keep: all, retention: 8m}\n")
        await inside.clock.advance(MINUTE)
        await app.reload()
        await inside.clock.advance(4 * MINUTE)
        for expr in ("count(up)", "unused", "rate(app_requests_total[3m])", "unused offset 3m"):
            assert await asked.query(expr) == []
        (late,) = await asked.query("max_over_time(unused[6m])")
        assert late.endswith("when rulepush began to keep it")
        assert await asked.warnings("labels") == []
        await inside.clock.advance(8 * MINUTE)
        assert await asked.query("max_over_time(unused[6m])") == []
        (late,) = await asked.query("max_over_time(unused[11m])")
        assert "kept for 8m, since " in late

    play(tmp_path, act)


@pytest.mark.parametrize("after_s", [10, 600])
def test_after_a_restart_what_was_restored_counts(tmp_path: Path, after_s: int) -> None:
    """A stop that is shorter than the look-back delta is bridged; otherwise what came meanwhile is missing."""
    expr = "avg_over_time(job:busy[10m])"

    async def before(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(5 * MINUTE)
        (early,) = await asked.query(expr)
        assert early.endswith("when rulepush began to keep it")
        await inside.clock.advance(6 * MINUTE)
        assert await asked.query(expr) == []

    async def after(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(2 * MINUTE)
        assert len(await asked.query(expr)) == (after_s > 300)
        await inside.clock.advance(10 * MINUTE)
        assert await asked.query(expr) == []

    inside = Inside(tmp_path, RULES, targets=("a",))
    inside.network.metrics["a"] = "app_busy 1\n"
    inside.options = replace(inside.options, storage_path=tmp_path / "state")
    again(inside, before)
    inside.clock.set_wall(inside.clock.now() + after_s * 1000)
    again(inside, after)


def test_with_a_recording_everything_is_answered(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(11 * MINUTE)
        now = inside.clock.now() / 1000
        for expr, expected in (
            ("count(up)", "4"),
            ("sum(rate(app_requests_total[5m]))", "0"),
            ("count(app_requests_total)", "4"),
            ("sum(count_over_time(unused[10m]))", "160"),
            ("sum(app_busy offset 10m)", "4"),
            ("count(job:busy offset 10m)", "2"),
            ("absent(ALERTS offset 10m)", "1"),
            ("count(unused)", "4"),
        ):
            answer = (await asked.client.get("/api/v1/query", params={"query": expr})).json()
            ((_, value),) = [series["value"] for series in answer["data"]["result"]]
            assert (expr, value, answer.get("warnings")) == (expr, expected, None)
        assert await asked.warnings("query_range", query="up", start=str(now - 600), end=str(now), step="15") == []
        assert await asked.warnings("labels", start=str(now - 600)) == []
        names = (await asked.client.get("/api/v1/label/__name__/values")).json()["data"]
        assert {"unused", "scrape_duration_seconds", "ALERTS"} - set(names) == {"ALERTS"}
        (late,) = await asked.warnings("query", query="count_over_time(up[1h])")
        assert "up is read from " in late
        assert " and recorded since 2023-11-14T22:13:20Z" in late
        assert "rulepush: " not in await asked.page("count(up)")
        metrics = app.telemetry.render().decode()
        assert "rulepush_recording_queries_total 13" in metrics

    recording(tmp_path, act)


def test_a_recording_that_is_switched_off_answers_no_more(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(2 * MINUTE)
        assert await asked.query("count(up)") == []
        config = tmp_path / "prometheus.yml"
        config.write_text(config.read_text().replace("storage: {record: {retention: 1h}}", ""))
        await app.reload()
        assert len(await asked.query("count(up)")) == 1

    recording(tmp_path, act)


def test_the_query_page_knows_what_is_recorded(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(2 * MINUTE)
        await asked.query("unused")  # what came since the last flush is written
        inside.network.metrics["a"] += "other_name 1\n"
        page = await asked.page("unused")
        assert "The recording begins at <time" in page
        assert '<option value="unused">' in page
        assert "other_name" not in page
        row = page[page.index('<a href="/graph?g0.expr=unused') :].partition("</tr>")[0]
        assert '<td class="n">4</td>' in row
        assert "recorded; no rule needs it" in row
        answer = await asked.client.get("/graph", headers={"accept-language": "zh"})
        assert "从记录中读取" in answer.text

    recording(tmp_path, act)


def test_without_a_recording_the_query_page_says_what_rules_need(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App, asked: Asked) -> None:
        await inside.clock.advance(2 * MINUTE)
        page = await asked.page("unused")
        assert "Only what the rules need is kept" in page
        assert "nothing: no rule needs it" in page
        assert "The recording begins" not in page

    play(tmp_path, act)
