"""The same file_sd targets and relabelling rules in a real Prometheus and here give the same targets and labels.

Left to the unit tests is `metric_name_validation_scheme: legacy`, which relabelling in 3.5 does not heed and later ones
do. Both sides dedupe and drop by themselves; ours is the pure part, no scrape is made.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rulepush.config import load_config
from rulepush.discovery.file import FileDiscovery, FileSdConfig
from rulepush.scrape.job import job_of
from rulepush.scrape.target import build_targets
from tests.discovery.driving import environment
from tests.servers import binary, free_port, get_json, running, wait_for

RULES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "replace": [{"source_labels": ["__address__"], "regex": "([^:]+):(.*)", "target_label": "host"}],
    "replace_two": [
        {"source_labels": ["zone", "env"], "separator": "/", "target_label": "place"},
        {"source_labels": ["place"], "regex": "(.*)/(p.*)", "target_label": "prod_${1}", "replacement": "$2-${2}x$2x"},
    ],
    "delete": [{"source_labels": ["env"], "regex": "dev", "target_label": "env", "replacement": ""}],
    "dollars": [{"source_labels": ["env"], "target_label": "cost", "replacement": "$$5-$-${1}-${name}-$9"}],
    "named": [
        {
            "source_labels": ["__address__"],
            "regex": "(?P<h>[^:]+):(?P<p>.*)",
            "target_label": "p",
            "replacement": "${p}",
        }
    ],
    "bad_target": [{"source_labels": ["odd"], "target_label": "${1}", "replacement": "x"}],
    "fixed": [{"target_label": "team", "replacement": "core"}],
    "not_anchored": [{"source_labels": ["env"], "regex": "ro", "target_label": "x", "replacement": "y"}],
    "keep": [{"source_labels": ["env"], "regex": "prod|test", "action": "keep"}],
    "drop": [{"source_labels": ["env", "zone"], "regex": "prod;a", "action": "drop"}],
    "drop_missing": [{"source_labels": ["nothing"], "regex": "", "action": "drop"}],
    "keepequal": [{"source_labels": ["zone"], "target_label": "twin", "action": "keepequal"}],
    "dropequal": [{"source_labels": ["zone"], "target_label": "twin", "action": "dropequal"}],
    "hashmod": [{"source_labels": ["__address__"], "modulus": 7, "target_label": "shard", "action": "hashmod"}],
    "hashmod_big": [
        {
            "source_labels": ["__address__", "text"],
            "modulus": 18446744073709551615,
            "target_label": "hash",
            "action": "hashmod",
        }
    ],
    "shard": [
        {"source_labels": ["__address__"], "modulus": 3, "target_label": "__tmp_shard", "action": "hashmod"},
        {"source_labels": ["__tmp_shard"], "regex": "1", "action": "keep"},
    ],
    "labelmap": [{"regex": "__meta_(.+)", "action": "labelmap"}],
    "labelmap_prefix": [{"regex": "(e.*|z.*)", "replacement": "my_${1}", "action": "labelmap"}],
    "labelmap_clash": [{"regex": "(env|zone|twin)", "replacement": "same", "action": "labelmap"}],
    "labeldrop": [{"regex": "env|text", "action": "labeldrop"}],
    "labelkeep": [{"regex": "__.*|env|job", "action": "labelkeep"}],
    "lower": [{"source_labels": ["text"], "target_label": "lower", "action": "lowercase"}],
    "upper": [{"source_labels": ["text", "env"], "target_label": "upper", "action": "uppercase"}],
    "instance": [{"source_labels": ["zone"], "target_label": "instance"}],
    "params": [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": "127.0.0.1:1"},
    ],
    "url": [
        {"target_label": "__metrics_path__", "replacement": "/nacos/actuator/prometheus"},
        {"target_label": "__scheme__", "replacement": "https"},
        {"source_labels": ["env"], "regex": "prod", "target_label": "__scrape_timeout__", "replacement": "7s"},
    ],
    "everything_dropped": [{"action": "drop", "source_labels": ["job"], "regex": ".*"}],
}


def groups() -> list[dict[str, Any]]:
    chance = random.Random(5)
    texts = ["", "Plain", "ÄÖÜ ß İI", "ΣΑΣ", "a\nb", 'quo"te\\', "日本語", "ǅ ŉ"]
    found = []
    for i in range(60):
        labels = {
            "env": chance.choice(["prod", "dev", "test", ""]),
            "zone": chance.choice(["a", "b", ""]),
            "twin": chance.choice(["a", "b"]),
            "text": chance.choice(texts),
            "odd": chance.choice(["1digit", "with-dash", "fine", ""]),
            "__meta_own": str(i % 4),
        }
        found.append({"targets": [f"127.0.0.1:{1 + i}", f"host{i % 9}:1"], "labels": labels})
    return found


def ours(config_file: Path) -> dict[str, tuple[list[Any], list[Any]]]:
    """By job: the active targets (labels, URL), and the dropped ones' addresses."""
    result = {}
    for config in load_config(str(config_file)).scrape_configs:
        (sd,) = config.sd_configs
        assert isinstance(sd, FileSdConfig)
        found = [t for g in FileDiscovery(sd, environment()).look() for t in g.merged()]
        job = job_of(config)
        active, dropped = build_targets(found, job.defaults, job.relabel)
        result[config.job_name] = (
            [[t.labels.as_dict(), t.url] for t in active],
            [d.discovered.get("__address__") for d in dropped],
        )
    return result


def theirs(answer: dict[str, Any]) -> dict[str, tuple[list[Any], list[Any]]]:
    result: dict[str, tuple[list[Any], list[Any]]] = {name: ([], []) for name in RULES}
    for target in answer["data"]["activeTargets"]:
        result[target["scrapePool"]][0].append([target["labels"], target["scrapeUrl"]])
    for target in answer["data"]["droppedTargets"]:
        result[target["discoveredLabels"]["job"]][1].append(target["discoveredLabels"]["__address__"])
    return result


@pytest.mark.e2e
def test_relabelling_agrees_with_prometheus(tmp_path: Path) -> None:
    program = binary("prometheus")
    (tmp_path / "targets.json").write_text(json.dumps(groups()))
    jobs = [
        {"job_name": name, "file_sd_configs": [{"files": ["targets.json"]}], "relabel_configs": rules}
        for name, rules in RULES.items()
    ]
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1h", "scrape_timeout": "5s"}, "scrape_configs": jobs}))
    port = free_port()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    base = f"http://127.0.0.1:{port}"
    with running(command, tmp_path / "prometheus.log", f"{base}/-/ready"):

        def complete() -> dict[str, tuple[list[Any], list[Any]]] | None:
            seen = theirs(get_json(f"{base}/api/v1/targets"))
            return seen if all(active or dropped for active, dropped in seen.values()) else None

        expected = wait_for("targets of every job", complete)
    actual = ours(config)
    assert sum(len(active) for active, _ in expected.values()) > 1000
    for name in RULES:
        for mine, prometheus in zip(actual[name], expected[name], strict=True):
            left, right = sorted(map(as_text, mine)), sorted(map(as_text, prometheus))
            only = [t for t in left if t not in right][:3], [t for t in right if t not in left][:3]
            assert left == right, f"{name}: only here {only[0]}, only there {only[1]}"


def as_text(value: Any) -> str:
    """To be sorted and compared. Which of the labels that are mapped to one name wins (`labelmap_clash`) is chance in
    Prometheus 3, which ranges over a Go map: targets of equal labels come out differently in one run."""
    if isinstance(value, list) and "same" in value[0]:
        labels, url = value
        assert labels["same"] in [labels.get(name) for name in ("env", "zone", "twin")], labels
        value = [{**labels, "same": "one of them"}, url]
    return json.dumps(value, sort_keys=True)
