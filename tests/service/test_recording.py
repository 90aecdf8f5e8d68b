"""A whole rulepush, on fake time, that records: what is in the recording, in which order, over reloads and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import is_stale
from rulepush.push.bodies import parse_push_text
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.remote.snappy import compress
from rulepush.service.app import App
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.routes import web_routes
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.faults.inside import Inside
from tests.remote.test_receiver import v1
from tests.service.test_app import change, number

MINUTE = 60
# What the rule reads at an evaluation, it writes: the recording has it behind the mark.
COPY = "{record: seen, expr: m}"
ON = "storage: {record: {}}\n"
EVER = (0, 1 << 62)


def play(
    directory: Path,
    act: Callable[[Inside, App], Awaitable[None]],
    *,
    rules: str = COPY,
    config: str = ON,
    edit: Callable[[str], str] = lambda text: text,
    state: Path | None = None,
    remote_write: bool = False,
    push: bool = False,
    later_s: int = 0,
) -> list[RecordedEvent]:
    """A service whose one target `a` says `m 1`, and what it recorded below its storage path. It starts `later_s`
    seconds after the usual time."""
    inside = Inside(directory, rules, targets=("a",))
    inside.options = replace(
        inside.options, storage_path=state or directory / "state", enable_remote_write=remote_write, enable_push=push
    )
    inside.clock.set_wall(inside.clock.now() + later_s * 1000)
    inside.network.metrics["a"] = "m 1\n"
    change(directory, lambda text: edit(text) + config)

    async def go() -> None:
        async with inside.running() as app:
            await act(inside, app)

    asyncio.run(go())
    return recorded(directory)


def recorded(directory: Path) -> list[RecordedEvent]:
    return list(Recording(directory / "state" / "recording").events(*EVER))


def blocks(events: Sequence[RecordedEvent], origin: Origin) -> list[RecordedBlock]:
    return [e for e in events if isinstance(e, RecordedBlock) and e.origin is origin]


def said(events: Sequence[RecordedEvent], origin: Origin) -> list[tuple[str, float | str]]:
    """Names and values, without what a scrape reports of itself."""
    return [
        (s.labels.name, "stale" if is_stale(s.value) else s.value)
        for event in blocks(events, origin)
        for s in event.block.samples()
        if not s.labels.name.startswith("scrape_")
    ]


def evaluations(events: Sequence[RecordedEvent]) -> list[RecordedEvaluation]:
    return [e for e in events if isinstance(e, RecordedEvaluation)]


def newest(head: Head, name: str, at: int) -> dict[str, float]:
    """What an instant selector finds, by `instance`."""
    found = head.select([Matcher("__name__", MatchOp.EQUAL, name)], at - 300_000, at)
    last = [(labels, found.values[i, found.counts[i] - 1]) for i, labels in enumerate(found.index.labels)]
    return {labels.get("instance"): float(value) for labels, value in last if not is_stale(value)}


def read_and_seen(events: list[RecordedEvent]) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """For each evaluation, what a replay of what stands before it finds of `m`, and what the service found."""
    head = Head(Demand.keep_all(600_000))
    for i, event in enumerate(events):
        if isinstance(event, RecordedBlock) and event.origin is not Origin.RULE:
            for s in event.block.samples():
                head.insert(s.labels, s.ts, s.value)
        elif isinstance(event, RecordedEvaluation):
            seen: dict[str, float] = {}
            for follows in events[i + 1 :]:
                if not isinstance(follows, RecordedBlock) or follows.origin is not Origin.RULE:
                    break
                seen |= {s.labels.get("instance"): s.value for s in follows.block.samples() if not is_stale(s.value)}
            yield newest(head, "m", event.at), seen


# --- order


def test_an_evaluation_is_recorded_behind_all_that_it_read_and_before_what_it_wrote(tmp_path: Path) -> None:
    """Scrapes, pushes and remote writes change `m` all the time, between evaluations and at the same moments."""

    async def act(inside: Inside, app: App) -> None:
        assert app.ingestion.push is not None
        assert app.ingestion.remote_write is not None
        api = httpx.ASGITransport(build_app(app.ingestion.remote_write.routes(), WebSecurity()))
        async with httpx.AsyncClient(transport=api, base_url="http://rulepush") as client:
            for n in range(40):
                inside.network.metrics["a"] = f"m {n}\n" if n % 7 else "other 1\n"
                pushed = parse_push_text(f"m {n + 100}\n".encode())
                key = (("job", "j"), ("instance", "pushed"))
                app.ingestion.push.groups.push(key, pushed, True, inside.clock.now(), None)
                sample = ({"__name__": "m", "instance": "written"}, [(inside.clock.now(), n + 200.0)])
                answer = await client.post("/api/v1/write", content=compress(v1(sample).SerializeToString()))
                assert answer.status_code == 204
                await inside.clock.advance(7)

    events = play(tmp_path, act, push=True, remote_write=True)
    compared = list(read_and_seen(events))
    assert len(compared) > 15
    for read, seen in compared:
        assert read == seen
    assert {frozenset(seen) for _, seen in compared} >= {
        frozenset({"a", "pushed", "written"}),
        frozenset({"pushed", "written"}),
    }


def test_a_start_is_the_first_event_and_each_scrape_is_one_block(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(2 * MINUTE)

    events = play(tmp_path, act)
    assert isinstance(events[0], RecordedStart)
    assert sum(isinstance(e, RecordedStart) for e in events) == 1
    scrapes = blocks(events, Origin.SCRAPE)
    assert len(scrapes) >= 8
    assert len({e.source for e in scrapes}) == 1
    names = [labels.name for labels in scrapes[0].block.series]
    assert names[:2] == ["m", "up"]
    assert len(names) == 6
    assert all(e.block.series == scrapes[0].block.series for e in scrapes)


def test_the_sources_of_two_targets_of_a_job_are_not_the_same(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)

    events = play(tmp_path, act, edit=lambda text: text.replace("['a']", "['a', 'b']"))
    assert len({e.source for e in blocks(events, Origin.SCRAPE)}) == 2


def test_what_no_rule_needs_and_what_ended_is_recorded_too(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = "m 1\nother 2\n"
        await inside.clock.advance(16)
        inside.network.metrics["a"] = "m 1\n"
        await inside.clock.advance(15)
        inside.network.down.add("a")
        await inside.clock.advance(15)

    said_by_target = said(play(tmp_path, act), Origin.SCRAPE)
    assert ("other", 2.0) in said_by_target
    assert ("other", "stale") in said_by_target
    assert said_by_target[-2:] == [("m", "stale"), ("up", 0.0)]


def test_a_received_sample_that_is_late_is_recorded_when_it_is_taken_and_not_when_it_is_refused(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        assert app.ingestion.remote_write is not None
        api = httpx.ASGITransport(build_app(app.ingestion.remote_write.routes(), WebSecurity()))
        now = inside.clock.now()

        async def write(ts: int, value: float) -> int:
            body = compress(v1(({"__name__": "m"}, [(ts, value)])).SerializeToString())
            async with httpx.AsyncClient(transport=api, base_url="http://rulepush") as client:
                return (await client.post("/api/v1/write", content=body)).status_code

        assert await write(now, 1) == 204
        assert await write(now - 5_000, 2) == 204
        assert await write(now - 90_000, 3) == 400
        assert await write(now, 4) == 400

    window = "storage: {record: {}, tsdb: {out_of_order_time_window: 1m}}\n"
    events = play(tmp_path, act, config=window, remote_write=True)
    assert said(events, Origin.REMOTE_WRITE) == [("m", 1.0), ("m", 2.0)]


def test_an_evaluation_says_what_could_fire_and_resolve_after_the_start(tmp_path: Path) -> None:
    """One discovery never answers, so the waits end by time: 25 s, twice that, and the look-back delta."""
    away = "- {job_name: away, http_sd_configs: [{url: 'http://away/'}]}\n"

    async def act(inside: Inside, app: App) -> None:
        inside.network.down.add("away")
        await inside.clock.advance(6 * MINUTE)

    found = evaluations(play(tmp_path, act, edit=lambda text: text.replace("alerting:", f"{away}alerting:")))
    said = list(dict.fromkeys((e.may_fire, e.may_fire_with_range, e.may_resolve) for e in found))
    assert said == [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
    assert (found[0].file, found[0].group, found[0].interval_ms) == (f"{tmp_path}/rules.yml", "g", 15_000)
    assert {later.at - e.at for e, later in pairwise(found)} == {15_000}


def test_a_pause_of_the_process_is_recorded_as_a_start(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        inside.clock.set_wall(inside.clock.now() + 600_000)
        await inside.clock.advance(MINUTE)

    events = play(tmp_path, act)
    starts = [e.at for e in events if isinstance(e, RecordedStart)]
    assert len(starts) == 2
    behind = evaluations(events[events.index(RecordedStart(starts[1])) :])
    before = [e for e in evaluations(events) if e not in behind]
    assert max(e.at for e in before) < starts[1]
    assert not behind[0].may_resolve


# --- configuration


def test_a_reload_switches_it_on_and_off(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        inside.network.metrics["a"] = "m 2\n"
        change(tmp_path, lambda text: text + ON)
        await app.reload()
        assert app.ingestion.jobs.stats.failed == 0
        await inside.clock.advance(MINUTE)
        assert number(app, "rulepush_recording_up") == 1
        assert number(app, 'rulepush_memory_bytes{part="recording"}') > 0
        change(tmp_path, lambda text: text.replace(ON, ""))
        await app.reload()
        inside.network.metrics["a"] = "m 3\n"
        await inside.clock.advance(MINUTE)
        assert "\nrulepush_recording_up " not in app.telemetry.render().decode()

    events = play(tmp_path, act, config="")
    assert isinstance(events[0], RecordedStart)
    in_memory = [e for e in events if isinstance(e, RecordedBlock) and e.source == "memory"]
    assert {value for name, value in said(in_memory, Origin.SCRAPE) if name == "m"} == {1.0}
    assert {value for name, value in said(events, Origin.SCRAPE) if name == "m"} == {1.0, 2.0}
    assert {value for name, value in said(events, Origin.RULE) if name == "seen"} == {2.0}
    assert len(evaluations(events)) == 4
    assert all(read == seen for read, seen in read_and_seen(events))


def test_queries_are_told_of_the_time_in_which_a_reload_had_switched_it_off(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        change(tmp_path, lambda text: text.replace(ON, ""))
        await app.reload()
        off = inside.clock.now()
        await inside.clock.advance(MINUTE)
        assert app.ingestion.recording.past() is None
        change(tmp_path, lambda text: text + ON)
        await app.reload()
        on = inside.clock.now()
        await inside.clock.advance(MINUTE)
        past = app.ingestion.recording.past()
        assert past is not None
        await past.flush()
        (_, before), (since, _) = past.spans(5 * 60_000)
        assert (before, since) == (off, on)

    play(tmp_path, act)


def test_queries_know_how_long_it_takes_until_each_target_was_scraped(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        past = app.ingestion.recording.past()
        assert past is not None
        before = past.settle_ms()
        change(tmp_path, lambda text: text.replace("scrape_timeout: 10s", "scrape_timeout: 4s"))
        await app.reload()
        assert past.settle_ms() == before - 6_000 > 4_000

    play(tmp_path, act)


def test_a_reload_that_changes_the_bounds_goes_on_with_the_recording(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        writer = app.ingestion.recording.writer
        change(tmp_path, lambda text: text.replace(ON, "storage: {record: {retention: 1h, max_size: 100MB}}\n"))
        await app.reload()
        await inside.clock.advance(MINUTE)
        assert app.ingestion.recording.writer is writer
        await inside.clock.advance(120 * MINUTE)

    events = play(tmp_path, act)
    assert events[-1].at - events[0].at < 75 * 60_000


def test_without_a_directory_nothing_is_recorded_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside = Inside(tmp_path, COPY, targets=("a",))
    change(tmp_path, lambda text: text + ON)

    async def go() -> None:
        async with inside.running() as app:
            await inside.clock.advance(MINUTE)
            assert not app.ingestion.consumers.active

    asyncio.run(go())
    assert "storage.record has no effect without --storage.path: nothing is recorded" in caplog.text


def test_what_was_recorded_before_a_stop_is_there_after_it(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)

    first = play(tmp_path, act)
    (tmp_path / "prometheus.yml").unlink()
    both = play(tmp_path, act)
    assert len(both) > len(first)
    assert sum(isinstance(e, RecordedStart) for e in both) == 2


def test_what_the_journal_gives_back_and_the_recording_lost_is_in_it_behind_the_start(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = "m 3\n"
        await inside.clock.advance(MINUTE)

    first = play(tmp_path, act)
    for segment in (tmp_path / "state" / "recording").iterdir():
        segment.unlink()
    second = play(tmp_path, act, later_s=MINUTE)
    assert isinstance(second[0], RecordedStart)
    assert isinstance(second[1], RecordedBlock)
    assert second[1].source == "memory"
    in_memory = [e for e in second if isinstance(e, RecordedBlock) and e.source == "memory"]

    def of_m(found: list[RecordedBlock]) -> list[tuple[int, float]]:
        return sorted((s.ts, s.value) for e in found for s in e.block.samples() if s.labels.name == "m")

    assert of_m(in_memory) == of_m(blocks(first, Origin.SCRAPE))
    names = {labels.name for e in in_memory for labels in e.block.series}
    assert names == {"m"}, "what a rule writes, a replay makes itself"


# --- faults


def test_a_directory_that_cannot_be_written_stops_the_recording_and_nothing_else(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "recording").write_text("in the way")

    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = "m 99\n"
        site = httpx.ASGITransport(build_app(web_routes(app.web_parts()), WebSecurity()))
        async with httpx.AsyncClient(transport=site, base_url="http://rulepush") as client:

            async def page(path: str) -> str:
                return (await client.get(path)).text

            await until(inside, lambda: number(app, "rulepush_recording_up") == 0)
            await until(inside, lambda: inside.network.firing() == {"a Hot"})
            assert "Recording has stopped, alerting goes on" in await page("/alerts")
            assert "录制已停止，告警照常运行" in await page("/alerts?lang=zh")
            assert "File exists" in await page("/status")
            (state / "recording").unlink()
            await until(inside, lambda: number(app, "rulepush_recording_up") == 1)
            assert "Recording has stopped" not in await page("/alerts")
            await inside.clock.advance(MINUTE)

    events = play(tmp_path, act, rules="{alert: Hot, expr: m > 50}")
    assert isinstance(events[0], RecordedStart)  # the gap is told
    assert len(blocks(events, Origin.SCRAPE)) >= 3


async def until(inside: Inside, probe: Callable[[], bool]) -> None:
    """Let time pass until it is so: the files are written in a thread, which has a time of its own."""
    for _ in range(200):
        if probe():
            return
        await inside.clock.advance(5)
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


def test_where_nothing_is_recorded_labels_of_what_no_rule_needs_are_not_kept(tmp_path: Path) -> None:
    """A recording costs memory; without it there is no trace of that."""

    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = "m 1\nother 2\n"
        await inside.clock.advance(MINUTE)
        (pool,) = app.ingestion.jobs
        kept = Labels({"__name__": "m", "job": "app", "instance": "a"})
        assert [scraper.cache.exposed().labels for scraper in pool.scrapers] == [[kept, None]]

    play(tmp_path, act, config="")


def test_histograms_are_recorded_as_they_are_received_and_as_rules_write_them(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        assert app.ingestion.remote_write is not None
        api = httpx.ASGITransport(build_app(app.ingestion.remote_write.routes(), WebSecurity()))
        async with httpx.AsyncClient(transport=api, base_url="http://rulepush") as client:
            for n in range(5):
                request = v1(({"__name__": "m", "instance": "written"}, []))
                deltas = {"positive_spans": [{"offset": 1, "length": 1}], "positive_deltas": [n + 3]}
                request.timeseries[0].histograms.add(
                    timestamp=inside.clock.now(), count_int=n + 3, sum=4.5, zero_count_int=0, **deltas
                )
                answer = await client.post("/api/v1/write", content=compress(request.SerializeToString()))
                assert answer.status_code == 204
                await inside.clock.advance(30)

    events = play(tmp_path, act, remote_write=True)
    received, written = (
        [
            s.histogram.count
            for event in blocks(events, origin)
            for s in event.block.samples()
            if isinstance(s, HistogramSample) and s.labels.get("instance") == "written"
        ]
        for origin in (Origin.REMOTE_WRITE, Origin.RULE)
    )
    assert received == [3, 4, 5, 6, 7]
    assert list(dict.fromkeys(written)) == received
