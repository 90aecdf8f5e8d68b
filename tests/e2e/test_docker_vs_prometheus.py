"""docker_sd_configs in a real Prometheus and here, beside one fake engine: the targets are the same, label by label.

Prometheus 3.5 lacks what came before 3.14: the labels of the image, and IPv6 addresses of networks without IPv4. These
two are left out here, and are in test_docker.py.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.discovery.docker_server import compose
from tests.registry_server import serving
from tests.servers import QUICK_DISCOVERY, binary, free_port, get_json, rulepush_command, running, wait_for

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


NEW_LABELS = {"__meta_docker_container_image", "__meta_docker_container_image_id"}


def targets(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """By job, every target with all its labels, sorted."""
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


@pytest.mark.parametrize("by", ["unix", "tcp", "http"])
def test_targets_of_docker_agree_with_prometheus(tmp_path: Path, by: str) -> None:
    program = binary("prometheus")
    docker = compose()
    docker.containers = [c for c in docker.containers if c["Names"] != ["/six"]]
    with serving(docker.handle, tmp_path / "docker.sock" if by == "unix" else None) as where:
        jobs: list[dict[str, Any]] = [
            {
                "job_name": f"{name}{'_relabelled' if rules else ''}",
                "docker_sd_configs": [{"host": f"{by}://{where}", "refresh_interval": "1s", **keys}],
                "relabel_configs": rules,
            }
            for name, keys in VARIANTS.items()
            for rules in ([], RELABELLING)
        ]
        config = tmp_path / "prometheus.yml"
        config.write_text(json.dumps({"global": {"scrape_interval": "1h"}, "scrape_configs": jobs}))
        ports = free_port(), free_port()
        theirs_command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            QUICK_DISCOVERY,
        ]
        ours_command = rulepush_command(
            "run", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{ports[1]}", QUICK_DISCOVERY
        )
        urls = [f"http://127.0.0.1:{p}" for p in ports]
        with (
            running(theirs_command, tmp_path / "prometheus.log", f"{urls[0]}/-/ready"),
            running(ours_command, tmp_path / "rulepush.log", f"{urls[1]}/-/ready"),
        ):

            def of(url: str) -> dict[str, list[Any]] | None:
                found = targets(get_json(f"{url}/api/v1/targets"))
                expected = {job["job_name"] for job in jobs if not job["job_name"].startswith("nothing")}
                return found if found.keys() == expected else None

            theirs, ours = (wait_for(f"targets of {url}", partial(of, url)) for url in urls)
            assert len(theirs["plain"]) == 14
            assert len(theirs["all_networks"]) == 16
            for job in theirs:
                assert ours[job] == theirs[job], job
            docker.containers = [c for c in docker.containers if c["Names"] != ["/noport"]]
            gone = wait_for("a container fewer", lambda: (f := of(urls[0])) and len(f["plain"]) == 13 and f)
            wait_for("the same here", lambda: targets(get_json(f"{urls[1]}/api/v1/targets")) == gone)
