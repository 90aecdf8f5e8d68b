"""One fake Eureka, a real Prometheus and rulepush: the same targets, label by label, before and after changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rulepush.scrape.target import HISTOGRAM_LABELS
from tests.discovery.eureka_server import FakeEureka, spring_instance
from tests.e2e.discovery_pair import discovery_pair
from tests.http_server import LoopbackServer
from tests.servers import get_json, wait_for

PREFIX = "__meta_eureka_app_instance_"

RULES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    # documentation/examples/prometheus-eureka.yml of Prometheus
    "prometheus_metadata": [
        {"source_labels": [f"{PREFIX}metadata_prometheus_scrape"], "regex": "true", "action": "keep"},
        {
            "source_labels": [f"{PREFIX}metadata_prometheus_path"],
            "regex": "(.+)",
            "target_label": "__metrics_path__",
            "action": "replace",
        },
        {
            "source_labels": ["__address__", f"{PREFIX}metadata_prometheus_port"],
            "regex": r"([^:]+)(?::\d+)?;(\d+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
            "action": "replace",
        },
        {
            "source_labels": [f"{PREFIX}metadata_prometheus_scheme"],
            "regex": "(https?)",
            "target_label": "__scheme__",
            "action": "replace",
        },
        {"source_labels": ["__meta_eureka_app_name"], "target_label": "app", "action": "lowercase"},
    ],
    "management_port": [
        {
            "source_labels": [f"{PREFIX}ip_addr", f"{PREFIX}metadata_management_port"],
            "separator": ":",
            "regex": "(.+:[0-9]+)",
            "target_label": "__address__",
        },
        {"target_label": "__metrics_path__", "replacement": "/actuator/prometheus"},
        {"source_labels": [f"{PREFIX}status"], "regex": "UP", "action": "keep"},
        {"regex": f"{PREFIX}(?:metadata|datacenterinfo)_(.+)", "action": "labelmap"},
    ],
    "secure": [
        {"source_labels": [f"{PREFIX}secure_port_enabled"], "regex": "true", "action": "keep"},
        {
            "source_labels": [f"{PREFIX}hostname", f"{PREFIX}secure_port"],
            "separator": ":",
            "target_label": "__address__",
        },
        {"target_label": "__scheme__", "replacement": "https"},
        {"action": "labeldrop", "regex": "instance"},
    ],
}


def apps() -> dict[str, list[dict[str, Any]]]:
    bare = spring_instance("BARE", "bare-1.hz")
    for name in ("port", "securePort", "dataCenterInfo", "metadata", "vipAddress", "homePageUrl", "instanceId"):
        del bare[name]
    annotated = {
        "prometheus.scrape": "true",
        "prometheus.path": "/order/actuator/prometheus",
        "prometheus.port": "9101",
        "prometheus.scheme": "https",
    }
    odd = {"my_key": "a&b <c> \"d\" 'e'", "a$b": "1", "说明": "订单", "with space": "x", "1st": "y", "empty": ""}
    amazon = ("Amazon", {"availability-zone": "us-east-1c", "ami-id": "ami-1", "public_ipv4": "1.2.3.4"})
    return {
        "ORDER": [
            spring_instance("ORDER", "order-1.hz", metadata=annotated, ipAddr="10.0.0.1"),
            spring_instance("ORDER", "order-2.hz", 8081, metadata={"prometheus.scrape": "true"}, ipAddr="10.0.0.2"),
            spring_instance("ORDER", "order-3.hz", status="OUT_OF_SERVICE", ipAddr="10.0.0.3"),
        ],
        "PAY": [
            spring_instance("PAY", "pay-1.hz", securePort=(8443, True), port=(8080, False), metadata=odd),
            spring_instance("PAY", "pay-2.hz", dataCenterInfo=amazon, metadata={}, countryId=86),
            spring_instance("PAY", "fe80::1", 8080, metadata={"management.port": "8099"}),
        ],
        "BARE": [bare],
        "ALERTMANAGER": [spring_instance("ALERTMANAGER", "am-1.hz", 9093)],
        "EMPTY": [],
    }


def configuration(eureka: str) -> str:
    login = {"username": "u", "password": "p"}
    sd = [{"server": f"http://{eureka}/eureka", "refresh_interval": "1s", "basic_auth": login}]
    keep = [{"source_labels": ["__meta_eureka_app_name"], "regex": "ALERTMANAGER", "action": "keep"}]
    return json.dumps(
        {
            "global": {"scrape_interval": "1h", "scrape_timeout": "5s"},
            "scrape_configs": [
                {"job_name": name, "eureka_sd_configs": sd, "relabel_configs": rules} for name, rules in RULES.items()
            ],
            "alerting": {"alertmanagers": [{"eureka_sd_configs": sd, "relabel_configs": keep}]},
        }
    )


PARTS = ("scrapePool", "discoveredLabels", "labels", "scrapeUrl", "scrapeInterval", "scrapeTimeout")


def targets(base: str) -> dict[str, Any]:
    """What counts of /api/v1/targets and /api/v1/alertmanagers, in an order of its own."""
    found = get_json(f"{base}/api/v1/targets")["data"]
    for target in found["activeTargets"] + found["droppedTargets"]:
        for name in HISTOGRAM_LABELS:
            target["discoveredLabels"].pop(name, None)
    active = [{part: target[part] for part in PARTS} for target in found["activeTargets"]]
    dropped = [target["discoveredLabels"] for target in found["droppedTargets"]]
    managers = [m["url"] for m in get_json(f"{base}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]]
    order = json.JSONEncoder(sort_keys=True).encode
    return {"active": sorted(active, key=order), "dropped": sorted(dropped, key=order), "alertmanagers": managers}


@pytest.mark.e2e
def test_targets_of_eureka_are_those_of_prometheus(tmp_path: Path) -> None:
    eureka = FakeEureka(apps(), user="u:p")
    server = LoopbackServer(eureka.reply)
    config = tmp_path / "prometheus.yml"
    config.write_text(configuration(server.address))
    with discovery_pair(config) as pair:
        first = pair.agree(targets, lambda found: len(found["active"]) >= 8)
        by_pool = {name: [t for t in first["active"] if t["scrapePool"] == name] for name in RULES}
        assert {name: len(found) for name, found in by_pool.items()} == {
            "none": 8,
            "prometheus_metadata": 2,
            "management_port": 7,
            "secure": 1,
        }
        assert by_pool["prometheus_metadata"][0]["scrapeUrl"] == "https://order-1.hz:9101/order/actuator/prometheus"
        assert first["alertmanagers"] == ["http://am-1.hz:9093/api/v2/alerts"]

        eureka.apps["ORDER"][1]["status"] = "DOWN"
        eureka.apps["ORDER"][0]["metadata"]["prometheus.path"] = "/moved"
        eureka.apps["PAY"].pop()
        eureka.apps["NEW"] = [spring_instance("NEW", "new-1.hz", metadata={"prometheus.scrape": "true"})]
        eureka.apps["ALERTMANAGER"].append(spring_instance("ALERTMANAGER", "am-2.hz", 9093, instanceId="am-2"))
        del eureka.apps["BARE"]
        later = pair.agree(targets, lambda found: any(t["scrapeUrl"].endswith("/moved") for t in found["active"]))
        assert any("new-1.hz" in t["scrapeUrl"] for t in later["active"])
        assert not any("bare-1" in t["scrapeUrl"] for t in later["active"])
        assert len(later["alertmanagers"]) == 2

        eureka.open = False  # a Eureka that restarts: both keep their targets
        asked = len(eureka.requests)
        wait_for("more requests", lambda: len(eureka.requests) > asked + 8, 60)
        assert pair.agree(targets) == later

        eureka.open = True
        eureka.apps.clear()  # an empty registry is an answer
        assert pair.agree(targets, lambda found: not found["active"])["dropped"] == []
    server.close()
