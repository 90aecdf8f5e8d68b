"""Rules on a real VictoriaMetrics that was sent native histograms: it keeps floats of them, with `vmrange`."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.model.labels import Labels
from rulepush.remote.encode import SentSample, SentSeries, write_request
from tests.servers import binary, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: g
  rules:
  - {alert: Quantile, expr: "histogram_quantile(0.9, h_bucket) > 0", annotations: {is: "{{ $value }}"}}
  - {alert: Total, expr: h_count > 0, annotations: {is: "{{ $value }}"}}
  - {alert: Whole, expr: "histogram_quantile(0.9, h) > 0"}
  - {alert: Unknown, expr: histogram_count(h) > 0}
"""
HEADERS = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}


def test_floats_of_histograms_are_found_and_histograms_are_missed_with_a_reason(tmp_path: Path) -> None:
    vm, ours = (f"127.0.0.1:{free_port()}" for _ in range(2))
    engine = [binary("victoria-metrics"), f"-storageDataPath={tmp_path}/data", f"-httpListenAddr={vm}"]
    (tmp_path / "rules.yml").write_text(RULES)
    source = {"name": "vm", "url": f"http://{vm}", "rule_files": ["rules.yml"], "query_offset": "0s"}
    config = tmp_path / "rulepush.yml"
    config.write_text(json.dumps({"global": {"evaluation_interval": "1s"}, "datasources": [source]}))
    command = rulepush_command("run", f"--config.file={config}", f"--web.listen-address={ours}")
    with (
        running([*engine, "-search.latencyOffset=0s"], tmp_path / "vm.log", f"http://{vm}/health"),
        running(command, tmp_path / "ours.log", f"http://{ours}/-/ready"),
    ):
        histogram = FloatHistogram(schema=1, count=5, sum=2.5, positive=Buckets.from_spans([(-2, 2)], [2, 3]))
        now = time.time_ns() // 1_000_000
        series = SentSeries(Labels.of(__name__="h", job="j"))
        sent = [SentSample(series, now - 10_000 + at, 0.0, histogram) for at in range(0, 10_000, 1_000)]
        answer = httpx.post(f"http://{vm}/api/v1/write", content=write_request(sent), headers=HEADERS, trust_env=False)
        assert answer.status_code == 204

        def rules() -> dict[str, Any] | None:
            groups = get_json(f"http://{ours}/api/v1/rules")["data"]["groups"]
            by_name = {rule["name"]: rule for group in groups for rule in group["rules"]}
            return by_name if by_name["Total"]["state"] == "firing" else None

        found = wait_for("the alerts", rules)
        check = rulepush_command("check", "rules", "--datasource", "vm", f"--config.file={config}")
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
    assert found["Total"]["alerts"][0]["annotations"] == {"is": "5"}
    assert 0.5 < float(found["Quantile"]["alerts"][0]["annotations"]["is"]) < 0.708  # the second bucket
    assert (found["Whole"]["health"], found["Whole"]["alerts"]) == ("ok", [])
    assert "unsupported function" in found["Unknown"]["lastError"]
    assert "the engine has no metric h\n             Did you mean h_bucket or h_count or h_sum?" in checked.stdout
    assert checked.returncode == 1
