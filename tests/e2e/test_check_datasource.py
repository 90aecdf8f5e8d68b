"""`check rules --datasource` and `check live` on rules that a real engine evaluates."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from tests.e2e.test_remote_write_out import Store, sending
from tests.engines import ENGINES, RealEngine, engine
from tests.servers import wait_for

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: g
  rules:
  - {record: "job:orders:rate", expr: "sum by (job) (rate(orders_total[5m]))"}
  - {alert: True, expr: queue_length > 5}
  - {alert: Quiet, expr: queue_length > 500}
  - {alert: Typo, expr: queue_lenght > 5}
  - {alert: Label, expr: 'queue_length{zone="a"} > 5'}
  - {alert: Value, expr: 'queue_length{job="order"} > 5'}
  - {alert: Both, expr: 'queue_length{job="orders", queue="mail"} > 5'}
  - {alert: Gone, expr: "absent(heartbeat) and on () queue_length > 500"}
  - {alert: OnRecorded, expr: "job:orders:rate > 5"}
  # rulepush: optional
  - {alert: Optional, expr: unknown_metric > 5}
"""


@pytest.fixture(params=ENGINES)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealEngine]:

    async def fill(real: RealEngine) -> None:
        now = time.time_ns() // 1_000_000 - 5000
        store = Store(real.server, real.url, real.ready)
        async with sending(store, tmp_path / "buffer") as sender:
            for job, queue in (("orders", "main"), ("mails", "mail")):
                labels = {METRIC_NAME: "queue_length", "job": job, "queue": queue}
                sender.offer([Sample(Labels(labels), now, 9.0 if job == "orders" else 1.0)])
            assert await sender.flush(10)

    with engine(request.param, tmp_path / "engine") as real:
        asyncio.run(fill(real))
        wait_for("the samples", lambda: len(real.ask("queue_length")) == 2 or None)
        yield real


def write(directory: Path, real: RealEngine) -> str:
    (directory / "fleet.yml").write_text(RULES)
    path = directory / "prometheus.yml"
    path.write_text(f"datasources: [{{name: central, url: '{real.url}', rule_files: [fleet.yml]}}]\n")
    return str(path)


def test_each_rule_is_asked_and_what_finds_nothing_is_named(
    filled: RealEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, filled)
    assert main(["check", "rules", "--datasource", "central", "--config.file", config]) == 1
    out = capsys.readouterr().out
    assert f"datasource central ({filled.url}): ok" in out
    blocks = {block.split(" (group g)")[0].rsplit(" ", 1)[-1]: block for block in out.split("\n\n")}
    assert "now      it fires now: " in blocks["True"]
    assert 'queue="main"' in blocks["True"]
    assert "the engine has no metric queue_lenght\n             Did you mean queue_length?" in blocks["Typo"]
    assert 'queue_length has no label zone, so zone="a" matches nothing' in blocks["Label"]
    assert 'queue_length has no job="order"; job is one of "mails", "orders"' in blocks["Value"]
    assert 'Did you mean job="orders"?' in blocks["Value"]
    assert 'no series of queue_length with samples lately has all of job="orders", queue="mail"' in blocks["Both"]
    assert "the engine has no metric orders_total" in blocks["job:orders:rate"]
    for fine in ("Quiet", "Gone", "OnRecorded", "Optional"):
        assert fine not in blocks
    assert "10 rules: 5 with problems, 1 true now, 4 fine on the datasource central" in out


def test_a_url_will_do_with_rule_files(filled: RealEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.yml").write_text("groups: [{name: g, rules: [{alert: Quiet, expr: queue_length > 500}]}]")
    assert main(["check", "rules", "--datasource", filled.url, str(tmp_path / "good.yml")]) == 0
    assert "1 rules: 0 with problems, 0 true now, 1 fine" in capsys.readouterr().out


def test_check_live_asks_the_datasources_too(
    filled: RealEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, filled)
    assert main(["check", "live", "--config.file", config, "--format", "json"]) == 1
    (source,) = json.loads(capsys.readouterr().out)["datasources"]
    assert (source["name"], source["ok"], source["error"]) == ("central", False, "")
    assert {r["name"]: r["level"] for r in source["rules"]}["Typo"] == "problem"
    assert main(["check", "live", "--config.file", config]) == 1
    out = capsys.readouterr().out
    assert "Did you mean queue_length?" in out
    assert "No target answered" not in out


def test_explain_asks_the_engine_for_what_a_rule_reads(
    filled: RealEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, filled)
    assert main(["explain", "Quiet", "--config.file", config]) == 0
    out = capsys.readouterr().out
    assert "queue_length > 500" in out
    assert 'queue="main"' in out
    assert "9" in out
    assert main(["explain", "Typo", "--config.file", config]) == 0
    assert "queue_lenght" in capsys.readouterr().out
    filled.server.kill()
    assert main(["explain", "Quiet", "--config.file", config, "--timeout", "2"]) == 1
    assert "the datasource central gives no samples: not reached" in capsys.readouterr().err


def test_backtest_says_how_rules_of_datasources_are_tried(
    filled: RealEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path, filled)
    assert main(["backtest", "--config.file", config, "--storage.path", str(tmp_path), "--since", "10m"]) == 1
    assert "whose samples are on their engines: --from-url URL tries these rules there" in capsys.readouterr().err
    assert main(["backtest", "--config.file", config, "--from-url", filled.url, "--since", "10m"]) == 0
    assert "True" in capsys.readouterr().out


def test_an_engine_that_is_not_there_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.yml").write_text(RULES)
    path = tmp_path / "prometheus.yml"
    path.write_text("datasources: [{name: central, url: 'http://127.0.0.1:9/api/v1', rule_files: [fleet.yml]}]\n")
    assert main(["check", "rules", "--datasource", "central", "--config.file", str(path)]) == 1
    out = capsys.readouterr().out
    assert "datasource central (http://127.0.0.1:9): not reached: connection refused" in out
    assert out.count("refused") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--datasource", "x"], "--datasource x is no URL: --config.file says what it is"),
        (["--datasource", "http://x"], "--datasource URL needs rule files by name"),
        (["--config.file", "F"], "--config.file is for --datasource NAME, which is not given"),
        (["--datasource", "x", "--config.file", "F"], "there is no datasource x: there is central, empty"),
        (["--datasource", "empty", "--config.file", "F"], "the datasource empty has no rule files, and none is given"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text("datasources: [{name: central, url: 'http://x'}, {name: empty, url: 'http://y'}]\n")
    words = [str(path) if word == "F" else word for word in words]
    assert main(["check", "rules", *words]) == 1
    assert said in capsys.readouterr().err
