"""Fingerprints of label sets."""

from __future__ import annotations

import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        ({"alertname": "B"}, "d2c2efc389db2050"),
        ({"alertname": "A", "severity": "page"}, "f2f95d02269594eb"),
        ({"zone": "ü\n", "path": "/a b", "alertname": "磁盘"}, "ee428f7bc960ab23"),
    ],
)
def test_a_fingerprint_is_the_one_that_alertmanager_0_33_gives_in_its_api(labels: dict[str, str], known: str) -> None:
    assert fingerprint(Labels(labels)) == known
