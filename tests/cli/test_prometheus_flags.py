"""Command lines of Prometheus, as packages, images and operators write them, start rulepush."""

from __future__ import annotations

import logging
import re
import subprocess
from pathlib import Path

import pytest

from rulepush.__main__ import main, parse_arguments
from rulepush.cli.prometheus_flags import FEATURES_WITHOUT_EFFECT, log_without_effect
from rulepush.cli.run import _options
from tests.needs import binary

# The CMD of prom/prometheus 2.x and 3.x.
IMAGE = """--config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus
  --web.console.libraries=/usr/share/prometheus/console_libraries
  --web.console.templates=/usr/share/prometheus/consoles"""
# prometheus-operator, pkg/prometheus/promcfg and statefulset.go: the arguments of a Prometheus with a Thanos sidecar.
OPERATOR = """--config.file=/etc/prometheus/config_out/prometheus.env.yaml --web.enable-lifecycle
  --web.external-url=http://prometheus.example.com/p --web.route-prefix=/ --storage.tsdb.path=/prometheus
  --storage.tsdb.retention.time=10d --storage.tsdb.retention.size=8GB --no-storage.tsdb.wal-compression
  --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=2h
  --web.config.file=/etc/prometheus/web_config/web-config.yaml --web.listen-address=127.0.0.1:9090
  --web.console.templates=/etc/prometheus/consoles --web.console.libraries=/etc/prometheus/console_libraries
  --web.page-title=x --web.enable-admin-api --web.enable-remote-write-receiver --web.enable-otlp-receiver
  --scrape.timestamp-tolerance=10ms --rules.alert.resend-delay=1m --query.timeout=2m --query.max-concurrency=20
  --query.lookback-delta=5m --query.max-samples=50000000 --log.level=info --log.format=logfmt
  --web.max-connections=512 --auto-gomemlimit.ratio=0.8 --rules.max-concurrent-evals=4
  --enable-feature=exemplar-storage,memory-snapshot-on-shutdown"""
# The chart prometheus-community/prometheus.
CHART = """--storage.tsdb.retention.time=15d --config.file=/etc/config/prometheus.yml --storage.tsdb.path=/data
  --web.console.libraries=/etc/prometheus/console_libraries --web.console.templates=/etc/prometheus/consoles
  --web.enable-lifecycle"""
OLD = """--storage.tsdb.retention=15d --storage.tsdb.no-lockfile --alertmanager.timeout=10s
  --storage.tsdb.allow-overlapping-blocks --web.user-assets /u --web.read-timeout 5m --no-web.enable-lifecycle
  --enable-feature=remote-write-receiver --enable-feature promql-at-modifier,promql-negative-offset"""


@pytest.mark.parametrize("line", [IMAGE, OPERATOR, CHART, OLD])
def test_a_command_line_of_prometheus_is_understood(line: str) -> None:
    assert _options(parse_arguments(["run", *line.split()]))


def test_every_flag_that_prometheus_lists_is_known() -> None:
    done = subprocess.run([binary("prometheus"), "--help"], capture_output=True, check=True, text=True)
    text = done.stdout + done.stderr
    found = re.findall(r"^ +(?:-h, )?--(\[no-\])?([a-z0-9.-]*[a-z])(?=[= \n])", text, re.MULTILINE)
    assert len(found) > 40
    values = {"query.max-concurrency": "1", "query.max-samples": "1", "log.level": "info", "log.format": "json"}
    words = []
    for is_switch, name in found:
        if name in ("help", "version", "help-long"):
            continue
        words += [f"--{name}", f"--no-{name}"] if is_switch else [f"--{name}={values.get(name, '1m')}"]
    assert parse_arguments(["run", *words]).func


def test_every_feature_that_prometheus_lists_is_known() -> None:
    done = subprocess.run([binary("prometheus"), "--help"], capture_output=True, check=True, text=True)
    text = " ".join((done.stdout + done.stderr).split())
    listed = re.search(r"Valid options: (.*?)\. See", text)
    assert listed is not None
    names = listed[1].replace("- ", "-").replace(" (DEPRECATED)", "").split(", ")
    assert len(names) > 10
    assert _options(parse_arguments(["run", f"--enable-feature={','.join(names)}"]))


def test_each_flag_without_effect_is_one_line_with_what_has_it_here(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    args = parse_arguments(
        ["run", *OPERATOR.split(), "--no-agent", "--no-web.enable-otlp-receiver", "--web.page-title=y"]
    )
    log_without_effect(
        args.without_effect, frozenset({"exemplar-storage", "st-storage", "promql-delayed-name-removal"})
    )
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) == len(set(args.without_effect)) - 1 + 2
    assert (
        "flag has no effect here, samples are kept as long as the rules need them; storage.record in the configuration "
        "keeps all: flag=--storage.tsdb.retention.time"
    ) in lines
    assert "feature has no effect here, exemplars are not kept: feature=exemplar-storage" in lines
    warned = [r.getMessage().rpartition("=")[2] for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == ["--web.enable-admin-api", "--web.enable-otlp-receiver", "st-storage"]


def test_the_flag_of_native_histograms_names_the_setting_that_scrapes_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        log_without_effect([], frozenset({"native-histograms"}))
    assert [record.getMessage() for record in caplog.records] == [
        "feature has no effect here, set scrape_native_histograms: true in the configuration, in global or a job: "
        "feature=native-histograms"
    ]


def test_the_directory_of_the_tsdb_is_taken_unless_there_is_one_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert _options(parse_arguments(["run", *CHART.split()])).storage_path == Path("/data/rulepush")
    assert _options(parse_arguments(["run", *CHART.split(), "--storage.path=/s"])).storage_path == Path("/s")
    assert [r.getMessage() for r in caplog.records] == [
        "--storage.tsdb.path is taken for --storage.path: path=/data/rulepush",
        "flag has no effect here, --storage.path is given: flag=--storage.tsdb.path",
    ]


def test_a_switch_can_be_turned_off_again_and_the_old_feature_opens_the_receiver() -> None:
    def enabled(*words: str) -> tuple[bool, bool]:
        options = _options(parse_arguments(["run", *words]))
        return options.enable_lifecycle, options.enable_remote_write

    assert enabled("--web.enable-lifecycle", "--enable-feature=remote-write-receiver") == (True, True)
    assert enabled("--web.enable-lifecycle", "--no-web.enable-lifecycle") == (False, False)


def test_flags_without_effect_are_not_shown_as_if_they_had_one() -> None:
    options = _options(parse_arguments(["run", *OPERATOR.split()]))
    assert "web.page-title" not in options.flags
    assert "no-web.enable-lifecycle" not in options.flags
    assert (options.flags["storage.path"], options.flags["web.enable-lifecycle"]) == ("/prometheus/rulepush", "true")


def test_a_misspelt_flag_of_prometheus_is_an_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--storage.tsdb.retention.tim=1d"])
    assert "(did you mean --storage.tsdb.retention.time?)" in capsys.readouterr().err
    assert "promql-experimental-functions" in FEATURES_WITHOUT_EFFECT
