"""Fingerprints of label sets."""

from __future__ import annotations

import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        # prometheus/common model/signature_test.go, TestMetricToFingerprint
        ({}, 14695981039346656037),
        ({"name": "garland, briggs", "fear": "love is not enough"}, 5799056148416392346),
    ],
)
def test_a_fingerprint_is_prometheus_own(labels: dict[str, str], number: int) -> None:
    assert fingerprint(Labels(labels)) == f"{number:016x}"


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


def test_a_fingerprint_has_16_digits_and_takes_any_text() -> None:
    assert len(fingerprint(Labels({"a": "\ud800漢"}))) == 16
