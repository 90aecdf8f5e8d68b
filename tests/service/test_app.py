"""A whole rulepush in this process, on fake time and a fake network: start, reload, stop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rulepush.errors import ConfigError
from rulepush.push.bodies import parse_push_text
from rulepush.remote.snappy import compress
from rulepush.service.app import App
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.faults.inside import FakeNetwork, Inside
from tests.remote.test_receiver import v1

RULE = "{alert: Hot, expr: m > 50}"
MINUTE = 60


def number(app: App, name: str) -> float:
    """An own metric without labels."""
    found = re.search(rf"^{name} (\S+)$", app.telemetry.render().decode(), re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def play(
    directory: Path,
    act: Callable[[Inside, App], Awaitable[None]],
    *,
    rules: str = RULE,
    edit: Callable[[str], str] = lambda text: text,
    **flags: int,
) -> FakeNetwork:
    """A service whose one target `a` says `m 99`, for as long as `act` takes; `edit` changes its configuration."""
    inside = Inside(directory, rules, targets=("a",))
    inside.options = replace(inside.options, **flags)  # type: ignore[arg-type]
    inside.network.metrics["a"] = "m 99\n"
    change(directory, edit)

    async def go() -> None:
        async with inside.running() as app:
            await act(inside, app)

    asyncio.run(go())
    return inside.network


def change(directory: Path, edit: Callable[[str], str]) -> None:
    """Write another configuration."""
    config = directory / "prometheus.yml"
    config.write_text(edit(config.read_text()))


# --- start


def test_an_alert_that_fires_is_posted_to_every_alertmanager_and_then_its_end(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        network, clock = inside.network, inside.clock
        await clock.advance(40)
        assert network.firing("am1") == network.firing("am2") == {"a Hot"}
        posted = network.view()["a Hot"]
        assert posted.labels.as_dict() == {"alertname": "Hot", "instance": "a", "job": "app"}
        assert number(app, "rulepush_config_last_reload_successful") == 1
        network.metrics["a"] = "m 1\n"
        await clock.advance(40)
        assert network.firing("am1") == network.firing("am2") == set()
        assert [p.starts_at for p in network.resolutions()] == [posted.starts_at]

    play(tmp_path, act)


def test_a_configuration_with_a_mistake_does_not_start(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: 'm >'}", targets=("a",))
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path}/rules.yml:1: ")):
        App(inside.options, inside.clock)


def test_a_discovery_that_never_answers_holds_new_alerts_up_for_two_minutes_at_most(tmp_path: Path) -> None:
    """A job that is scraped every ten minutes does not make it longer."""
    jobs = (
        "- {job_name: slow, scrape_interval: 10m, static_configs: [{targets: [slow]}]}\n"
        "- {job_name: away, http_sd_configs: [{url: 'http://away/'}]}\n"
    )

    async def act(inside: Inside, app: App) -> None:
        inside.network.down.add("away")
        await inside.clock.advance(1.5 * MINUTE)
        assert inside.network.firing() == set()
        await inside.clock.advance(1 * MINUTE)
        assert inside.network.firing() == {"a Hot"}

    play(tmp_path, act, edit=lambda text: text.replace("alerting:", f"{jobs}alerting:"))


# --- while it runs


def test_series_that_ended_are_forgotten_when_nothing_looks_back_on_them(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        most = 0.0
        for n in range(60):
            inside.network.metrics["a"] = f'm{{n="{n}"}} 1\n'
            await inside.clock.advance(MINUTE / 2)
            most = max(most, number(app, "rulepush_head_series"))
        assert 5 < most < 30  # the look-back delta of five minutes, and a little

    play(tmp_path, act)


@pytest.mark.parametrize(("pause_s", "noticed"), [(4, 0), (10, 1)])
def test_a_pause_of_the_process_is_noticed_when_it_is_longer_than_a_busy_moment(
    tmp_path: Path, pause_s: int, noticed: int
) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        inside.clock.set_wall(inside.clock.now() + pause_s * 1000)
        await inside.clock.advance(MINUTE)
        assert number(app, "rulepush_time_jumps_total") == noticed

    play(tmp_path, act)


def test_a_blocked_event_loop_makes_no_target_fail_and_no_alert(tmp_path: Path) -> None:
    """Each time the requests are under way, the loop stands for longer than the scrape timeout."""
    rules = "{alert: Down, expr: up == 0}, {alert: Gone, expr: absent(m)}, {alert: Hot, expr: m > 50}"

    async def act(inside: Inside, app: App) -> None:
        clock = inside.clock
        answered = inside.network.gates["a"] = asyncio.Event()
        for _ in range(8):
            answered.clear()
            while not inside.network.held:
                await clock.advance(0.5)
            for _ in range(3):
                clock.stall(2)
                await clock.advance(0.05)
            answered.set()
            await clock.settle()
        assert [status.last_error for pool in app.ingestion.jobs for _, status in pool.targets] == [""]
        assert number(app, "rulepush_scrape_failures_total") == 0
        assert number(app, "rulepush_scrapes_total") > 4
        assert {name for host in ("am1", "am2") for name in inside.network.view(host)} == {"a Hot"}

    play(tmp_path, act, rules=rules, edit=lambda text: text.replace("scrape_timeout: 10s", "scrape_timeout: 5s"))


# --- reload


def test_a_reload_puts_new_rules_into_effect_and_keeps_what_they_look_at(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = "m 99\nother 7\n"
        await inside.clock.advance(MINUTE)
        before = inside.network.view()["a Hot"]
        (tmp_path / "rules.yml").write_text(
            f"groups: [{{name: g, rules: [{RULE}, {{alert: Other, expr: other == 7}}]}}]"
        )
        await app.reload()
        await inside.clock.advance(MINUTE)
        assert inside.network.firing() == {"a Hot", "a Other"}
        assert inside.network.view()["a Hot"].starts_at == before.starts_at

    play(tmp_path, act)


def test_a_reload_puts_external_labels_and_alert_relabelling_into_effect(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        change(
            tmp_path,
            lambda text: text.replace("global: {", "global: {external_labels: {site: hz1}, ").replace(
                "alerting:", "alerting:\n  alert_relabel_configs: [{target_label: seen, replacement: 'yes'}]"
            ),
        )
        await app.reload()
        sent_before = len(inside.network.received["am1"])
        await inside.clock.advance(3 * MINUTE)
        later = inside.network.received["am1"][sent_before:]
        assert {(p.labels.get("site"), p.labels.get("seen")) for p in later} == {("hz1", "yes")}

    play(tmp_path, act)


def test_a_reload_finds_new_targets_and_lets_old_ones_go(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["b"] = "m 98\n"
        await inside.clock.advance(MINUTE)
        change(tmp_path, lambda text: text.replace("['a']", "['b']"))
        await app.reload()
        await inside.clock.advance(2 * MINUTE)
        assert inside.network.firing() == {"b Hot"}

    play(tmp_path, act)


def test_a_reload_changes_the_lifetime_of_what_is_pushed(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        inside.network.metrics["a"] = ""
        push = app.ingestion.push
        assert push is not None
        push.groups.push((("job", "j"), ("instance", "x")), parse_push_text(b"m 99\n"), True, inside.clock.now(), None)
        await inside.clock.advance(10 * MINUTE)
        assert inside.network.firing() == {"x Hot"}
        change(tmp_path, lambda text: f"{text}push_receiver: {{default_ttl: 5m}}\n")
        await app.reload()
        await inside.clock.advance(2 * MINUTE)
        assert inside.network.firing() == set()

    play(tmp_path, act, enable_push=True)


def test_a_reload_changes_the_window_in_which_received_samples_may_come_out_of_order(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        assert app.ingestion.remote_write is not None
        api = httpx.ASGITransport(build_app(app.ingestion.remote_write.routes(), WebSecurity()))

        async def write(ts: int) -> int:
            body = compress(v1(({"__name__": "m"}, [(ts, 1.0)])).SerializeToString())
            async with httpx.AsyncClient(transport=api, base_url="http://rulepush") as client:
                return (await client.post("/api/v1/write", content=body)).status_code

        now = inside.clock.now()
        assert await write(now) == 204
        assert await write(now - 5000) == 400
        change(tmp_path, lambda text: f"{text}storage: {{tsdb: {{out_of_order_time_window: 1m}}}}\n")
        await app.reload()
        assert await write(now - 5000) == 204

    play(tmp_path, act, enable_remote_write=True)


@pytest.mark.parametrize("file", ["prometheus.yml", "rules.yml"])
def test_a_bad_reload_keeps_the_running_configuration(
    tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        good = (tmp_path / file).read_text()
        (tmp_path / file).write_text(f"{good}\nmistake: 1\n")
        with pytest.raises(ConfigError, match="mistake"):
            await app.reload()
        assert number(app, "rulepush_config_last_reload_successful") == 0
        assert "configuration not reloaded, the running one stays: " in caplog.text
        assert app.reloader.last_error.startswith(str(tmp_path))
        assert app.reloader.failed_at > app.reloader.loaded_at
        inside.network.metrics["a"] = "m 1\n"
        await inside.clock.advance(MINUTE)
        assert inside.network.firing() == set()
        inside.network.metrics["a"] = "m 99\n"
        await inside.clock.advance(MINUTE)
        assert inside.network.firing() == {"a Hot"}
        (tmp_path / file).write_text(good)
        await app.reload()
        assert number(app, "rulepush_config_last_reload_successful") == 1

    play(tmp_path, act)


def test_a_reload_that_a_signal_asks_for_is_done_soon_and_a_mistake_does_not_end_the_service(tmp_path: Path) -> None:
    async def act(inside: Inside, app: App) -> None:
        good = (tmp_path / "rules.yml").read_text()
        (tmp_path / "rules.yml").write_text("mistake: 1\n")
        app.request_reload()
        await inside.clock.settle()
        assert number(app, "rulepush_config_last_reload_successful") == 0
        (tmp_path / "rules.yml").write_text(good)
        app.request_reload()
        await inside.clock.settle()
        assert number(app, "rulepush_config_last_reload_successful") == 1

    play(tmp_path, act)


def test_files_that_change_are_reloaded_by_themselves_and_a_mistake_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(inside: Inside, app: App) -> None:
        await inside.clock.advance(MINUTE)
        assert inside.network.firing() == {"a Hot"}
        good = (tmp_path / "rules.yml").read_text()
        (tmp_path / "rules.yml").write_text("mistake: 1\n")
        await inside.clock.advance(10 * MINUTE)
        assert number(app, "rulepush_config_last_reload_successful") == 0
        assert len([r for r in caplog.records if "the running one stays: " in r.getMessage()]) == 1
        assert inside.network.firing() == {"a Hot"}
        (tmp_path / "rules.yml").write_text(good.replace("Hot", "Hotter"))
        await inside.clock.advance(2 * MINUTE)
        assert number(app, "rulepush_config_last_reload_successful") == 1
        assert "a Hotter" in inside.network.firing()

    play(tmp_path, act, auto_reload_ms=30_000)


def test_a_reload_that_was_asked_for_is_not_done_again_for_the_change_that_it_took(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def act(inside: Inside, app: App) -> None:
        (tmp_path / "rules.yml").write_text((tmp_path / "rules.yml").read_text().replace("Hot", "Hotter"))
        await app.reload()
        await inside.clock.advance(2 * MINUTE)
        assert len([r for r in caplog.records if "configuration loaded" in r.getMessage()]) == 1

    play(tmp_path, act, auto_reload_ms=30_000)


# --- stop


def test_a_stop_sends_what_waits_for_an_alertmanager(tmp_path: Path) -> None:
    """Both are away when the alert ends; they are back when the service is asked to stop, before it would try again."""

    async def act(inside: Inside, app: App) -> None:
        network = inside.network
        await inside.clock.advance(MINUTE)
        assert network.firing() == {"a Hot"}
        network.down |= {"am1", "am2"}
        network.metrics["a"] = "m 1\n"
        await inside.clock.advance(MINUTE)
        assert network.resolutions() == []
        network.down.clear()

    network = play(tmp_path, act)
    assert [p.name for p in network.resolutions()] == ["Hot"]
    assert network.firing("am1") == network.firing("am2") == set()
