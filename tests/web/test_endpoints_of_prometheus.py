"""Every endpoint of Prometheus is answered, and documented.

The list is that of prometheus web/api/v1/api.go (Register) and web/web.go, 3.14.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.needs import ROOT
from tests.web.app_parts import Parts
from tests.web.asking import ask_app

BOTH: Final = ("GET", "POST")
ADMIN: Final = ("POST", "PUT")
API: Final = {
    "query": BOTH,
    "query_range": BOTH,
    "query_exemplars": BOTH,
    "format_query": BOTH,
    "parse_query": BOTH,
    "labels": BOTH,
    "label/<name>/values": ("GET",),
    "series": BOTH,
    "scrape_pools": ("GET",),
    "scrape_pools/config": ("GET",),
    "targets": ("GET",),
    "targets/metadata": ("GET",),
    "targets/relabel_steps": ("GET",),
    "alertmanagers": ("GET",),
    "metadata": ("GET",),
    "status/config": ("GET",),
    "status/runtimeinfo": ("GET",),
    "status/buildinfo": ("GET",),
    "status/flags": ("GET",),
    "status/tsdb": ("GET",),
    "status/tsdb/blocks": ("GET",),
    "status/self_metrics": ("GET",),
    "features": ("GET",),
    "status/walreplay": ("GET",),
    "notifications": ("GET",),
    "notifications/live": ("HEAD",),  # a GET does not end
    "read": ("POST",),
    "write": ("POST",),
    "otlp/v1/metrics": ("POST",),
    "search/metric_names": BOTH,
    "search/label_names": BOTH,
    "search/label_values": BOTH,
    "alerts": ("GET",),
    "rules": ("GET",),
    "admin/tsdb/delete_series": ADMIN,
    "admin/tsdb/clean_tombstones": ADMIN,
    "admin/tsdb/snapshot": ADMIN,
    "openapi.yaml": ("GET",),
}
ROOTS: Final = {
    "version": ("GET",),
    "metrics": ("GET",),
    "federate": ("GET",),
    "-/healthy": ("GET", "HEAD"),
    "-/ready": ("GET", "HEAD"),
    "-/reload": ADMIN,
    "-/quit": ADMIN,
}


def requests() -> Iterator[tuple[str, str]]:
    for prefix, paths in (("/api/v1/", API), ("/", ROOTS)):
        for path, methods in paths.items():
            for method in methods:
                yield method, prefix + path.replace("<name>", "job")


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize(("method", "path"), list(requests()))
def test_an_endpoint_is_answered(parts: Parts, method: str, path: str) -> None:
    answer = ask_app(parts.routes(), method, path)
    assert answer.status_code != 405
    if method == "HEAD":
        assert answer.status_code == 200
    else:
        assert answer.status_code == 200 or answer.text not in ("Not Found\n", ""), "what is not there says so"


def test_every_endpoint_is_documented() -> None:
    page = (ROOT / "docs" / "http-api.md").read_text()
    assert [path for path in (*API, *ROOTS) if f"`/{path}`" not in page] == []
