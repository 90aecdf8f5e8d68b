"""docker_sd_configs in a real Prometheus and here, beside one fake engine: the targets are the same, label by label.

Prometheus 3.5 lacks what came before 3.14: the labels of the image, and IPv6 addresses of networks without IPv4. These
two are left out here, and are in test_docker.py.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rulepush.scrape.target import HISTOGRAM_LABELS
from tests.discovery.docker_server import compose
from tests.e2e.discovery_pair import discovery_pair
from tests.registry_server import serving
from tests.servers import get_json

pytestmark = pytest.mark.e2e

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all_networks": {"match_first_network": False},
    "port_and_host": {"port": 9999, "host_networking_host": "127.0.0.9:9100"},
    "labelled": {"filters": [{"name": "label", "values": ["prometheus-job"]}]},
    "named": {
        "filters": [{"name": "name", "values": ["mysql", "exporter"]}, {"name": "status", "values": ["running"]}]
    },
    "stopped": {"filters": [{"name": "status", "values": ["exited"]}], "match_first_network": False},
    "nothing": {"filters": [{"name": "name", "values": ["absent"]}]},
}
RELABELLING = [
    {"source_labels": ["__meta_docker_port_public_ip"], "target_label": "public_ip"},
    {"source_labels": ["__meta_docker_container_name"], "regex": "/(.*)", "target_label": "container"},
    {"source_labels": ["__meta_docker_container_name"], "regex": "/udp", "action": "drop"},
    {"regex": "__meta_docker_container_label_(.+)", "action": "labelmap"},
    {
        "source_labels": ["__meta_docker_network_ip", "__meta_docker_port_public"],
        "separator": ":",
        "regex": "(.+:.+)",
        "target_label": "__address__",
    },
]


NEW_LABELS = {"__meta_docker_container_image", "__meta_docker_container_image_id", *HISTOGRAM_LABELS}


def targets(url: str) -> dict[str, list[Any]]:
    """By job, every target with all its labels, sorted."""
    answer = get_json(f"{url}/api/v1/targets")
    found: dict[str, list[Any]] = {}
    for target in answer["data"]["activeTargets"] + answer["data"]["droppedTargets"]:
        for name in NEW_LABELS:
            target["discoveredLabels"].pop(name, None)
        if "public_ip" not in target.get("labels", {}):  # two targets in one: either may show what it was found with
            target["discoveredLabels"].pop("__meta_docker_port_public_ip", None)
    for target in answer["data"]["activeTargets"]:
        entry = [target["discoveredLabels"], target["labels"], target["scrapeUrl"]]
        found.setdefault(target["scrapePool"], []).append(entry)
    for target in answer["data"]["droppedTargets"]:
        found.setdefault(target["discoveredLabels"]["job"], []).append([target["discoveredLabels"]])
    return {job: sorted(entries, key=json.dumps) for job, entries in found.items()}


def test_targets_of_docker_agree_with_prometheus(tmp_path: Path) -> None:
    docker = compose()
    docker.containers = [c for c in docker.containers if c["Names"] != ["/six"]]
    with ExitStack() as stack:
        socket = stack.enter_context(serving(docker.handle, tmp_path / "docker.sock"))
        address = stack.enter_context(serving(docker.handle))
        jobs: list[dict[str, Any]] = [
            {
                "job_name": f"{name}{'_relabelled' if rules else ''}_{host.partition(':')[0]}",
                "docker_sd_configs": [{"host": host, "refresh_interval": "1s", **keys}],
                "relabel_configs": rules,
            }
            for host in (f"unix://{socket}", f"tcp://{address}", f"http://{address}")
            for name, keys in VARIANTS.items()
            for rules in ([], RELABELLING)
        ]
        config = tmp_path / "prometheus.yml"
        config.write_text(json.dumps({"global": {"scrape_interval": "1h"}, "scrape_configs": jobs}))
        expected = {job["job_name"] for job in jobs if not job["job_name"].startswith("nothing")}
        pair = stack.enter_context(discovery_pair(config))

        found = pair.agree(targets, lambda found: found.keys() == expected)
        for by in ("unix", "tcp", "http"):
            assert len(found[f"plain_{by}"]) == 14
            assert len(found[f"all_networks_{by}"]) == 16
        docker.containers = [c for c in docker.containers if c["Names"] != ["/noport"]]
        plain = [f"plain_{by}" for by in ("unix", "tcp", "http")]
        pair.agree(targets, lambda found: found.keys() == expected and [len(found[p]) for p in plain] == [13, 13, 13])
