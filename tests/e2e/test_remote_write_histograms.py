"""Native histograms by remote write to a real Prometheus and to our receiver: same answers, same histograms.

To an invalid histogram Prometheus 3.5 answers 500, so that its sender tries for ever; 3.14
(storage/remote/write_handler.go isHistogramValidationError) 400, as here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rulepush.histogram.text import histogram_json
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.encode import SentSample, SentSeries, request_v2, write_request
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.e2e.test_remote_write_in import HOUR, NOW
from tests.remote.test_histograms import CUSTOM, EXPECTED, FRACTIONAL, LABELS, V2, v1, v2
from tests.servers import binary, free_port, get_json, running

pytestmark = pytest.mark.e2e


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    command = [
        binary("prometheus"),
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms",
    ]
    with running(command, tmp_path / "log", f"{url}/-/ready"):
        yield url


SERIES = SentSeries(LABELS)
# body, content type, whether Prometheus' whole text is ours
STEPS = [
    (v1(NOW - 60_000), "", True),
    (v1(NOW - 60_000), "", True),  # the same again
    (v1(NOW - 60_000, sum=3.0), "", False),  # Prometheus names the series
    (v1(NOW - 61_000), "", True),
    (v2(NOW - 59_000), V2, True),
    (v1(NOW - 58_000, count_int=3), "", True),
    (v1(NOW - 58_000, positive_deltas=[1]), "", True),
    (v1(NOW - 58_000, positive_deltas=[1, -2, 0]), "", True),
    (write_request([SentSample(SERIES, NOW - 50_000, 0.0, FRACTIONAL)]), "", True),
    (write_request([SentSample(SERIES, NOW - 49_000, 7.0)]), "", True),
    (request_v2([SentSample(SERIES, NOW - 48_000, 0.0, EXPECTED)], {}), V2, True),
    (request_v2([SentSample(SERIES, NOW - 47_000, 0.0, CUSTOM)], {}), V2, True),
]


def test_same_answers_and_same_histograms(prometheus: str) -> None:
    head = Head(Demand.keep_all(24 * HOUR))
    to = RemoteWriteReceiver(head)
    for i, (body, content_type, same_text) in enumerate(STEPS):
        headers = {"Content-Encoding": "snappy"} | ({"Content-Type": content_type} if content_type else {})
        theirs = httpx.post(f"{prometheus}/api/v1/write", content=body, headers=headers, trust_env=False, timeout=60)
        mine = to.apply(to.decode(body, content_type, "snappy"), NOW)
        expected = 400 if theirs.status_code == 500 else theirs.status_code
        assert mine.status == expected, (i, mine.text, theirs.text)
        if same_text:
            assert mine.text.strip() == theirs.text.strip(), i
        for name in ("Samples", "Histograms"):
            header = f"X-Prometheus-Remote-Write-{name}-Written"
            assert mine.headers.get(header) == theirs.headers.get(header), (i, header)
    (found,) = get_json(f"{prometheus}/api/v1/query", query="h[1d]", time=str(NOW / 1000 + 1))["data"]["result"]
    s = head.select([], 0, 1 << 62)
    assert s.boxes is not None
    floats, histograms = [], []
    for ts, value in zip(s.times[0, : s.counts[0]].tolist(), s.values[0, : s.counts[0]].tolist(), strict=True):
        histogram = s.boxes.unbox(value)
        if histogram is None:
            floats.append([ts / 1000, f"{value:g}"])
        else:
            histograms.append([ts / 1000, histogram_json(histogram)])
    assert (floats, histograms) == (found["values"], found["histograms"])
