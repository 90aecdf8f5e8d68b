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


def test_a_fingerprint_has_16_digits_and_takes_any_text() -> None:
    assert len(fingerprint(Labels({"a": "\ud800漢"}))) == 16
