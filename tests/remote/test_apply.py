"""What the head makes of remote write requests, and what it answers to the sender."""

from __future__ import annotations

import asyncio

import httpx
from starlette.applications import Starlette

from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, Sample, is_stale
from rulepush.remote.apply import RemoteWriteReceiver, WriteAnswer
from rulepush.remote.http import remote_write_routes
from rulepush.remote.receiver import MetricMetadata, WriteLimits
from rulepush.remote.snappy import compress
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.fakes import FakeClock
from tests.remote.test_receiver import V2, v1, v2

NOW = 1_700_000_000_000
NAMES = ["", "__name__", "m", "n"]
WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


def everything() -> Head:
    return Head(Demand.keep_all(3_600_000))


def write(receiver: RemoteWriteReceiver, request: object, content_type: str = "", now: int = NOW) -> WriteAnswer:
    body = compress(request.SerializeToString())  # type: ignore[attr-defined]
    return receiver.apply(receiver.decode(body, content_type, "snappy"), now)


def stored(head: Head, name: str = "m") -> list[tuple[int, float]]:
    found = head.select([Matcher("__name__", MatchOp.EQUAL, name)], 0, 1 << 62)
    return [
        (int(found.times[i, k]), float(found.values[i, k]))
        for i in range(len(found.index))
        for k in range(found.counts[i])
    ]


def test_samples_reach_the_head() -> None:
    head = everything()
    assert write(RemoteWriteReceiver(head), v1(({"__name__": "m"}, [(NOW, 1.0), (NOW + 1, 2.0)]))) == WriteAnswer(204)
    assert stored(head) == [(NOW, 1.0), (NOW + 1, 2.0)]


def test_the_same_sample_again_is_fine_and_another_value_is_not() -> None:
    receiver = RemoteWriteReceiver(everything())
    for _ in range(3):
        assert write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)]))).status == 204
    text = f"duplicate sample for timestamp {NOW}; overrides not allowed: existing 1, new value 2.5"
    assert write(receiver, v1(({"__name__": "m"}, [(NOW, 2.5)]))) == WriteAnswer(400, text)
    again = write(receiver, v2(["", "__name__", "m"], ([1, 2], [(NOW, 2.5)])), V2)
    assert again.text == f'{text} for series {{__name__="m"}}'


def test_v1_out_of_order_refuses_the_whole_request() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head)
    write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)])))
    answer = write(receiver, v1(({"__name__": "n"}, [(NOW, 1.0)]), ({"__name__": "m"}, [(NOW - 1, 2.0)])))
    assert answer == WriteAnswer(400, "out of order sample")
    assert stored(head, "n") == []


def test_v1_leaves_out_bad_series_and_answers_204() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head)
    answer = write(receiver, v1(({"job": "x"}, [(NOW, 1.0), (NOW + 1, 1.0)]), ({"__name__": "m"}, [(NOW, 2.0)])))
    assert answer == WriteAnswer(204)
    assert stored(head) == [(NOW, 2.0)]
    assert (receiver.counts.samples, receiver.counts.refused_samples) == (1, 2)


def test_a_late_sample_within_the_window_is_put_where_its_time_belongs() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head, out_of_order_window_ms=lambda: 60_000)
    late = [NOW, NOW + 20, NOW + 10, NOW + 5, NOW + 30, NOW - 59_970]
    for ts in late:
        request = v1(({"__name__": "m"}, [(ts, float(ts))]), ({"__name__": "n"}, [(NOW + 30, 1.0)]))
        assert write(receiver, request) == WriteAnswer(204)
    assert stored(head) == [(ts, float(ts)) for ts in sorted(late)]
    assert write(receiver, v2(NAMES, ([1, 2], [(NOW + 7, 1.0)])), V2).status == 204
    assert (NOW + 7, 1.0) in stored(head)
    again = write(receiver, v1(({"__name__": "m"}, [(NOW + 5, 9.0)])))
    assert again == WriteAnswer(204), "another value at a late time is dropped, as in Prometheus"
    assert (NOW + 5, float(NOW + 5)) in stored(head)
    assert write(receiver, v1(({"__name__": "m"}, [(NOW + 30, 9.0)]))).status == 400


def test_a_sample_older_than_the_window_is_too_old() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head, out_of_order_window_ms=lambda: 60_000)
    write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)])))
    answer = write(receiver, v1(({"__name__": "n"}, [(NOW, 1.0)]), ({"__name__": "m"}, [(NOW - 60_001, 2.0)])))
    assert answer == WriteAnswer(400, "too old sample")
    assert stored(head, "n") == []


def test_v2_writes_what_it_can_and_counts_it() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head)
    assert write(receiver, v2(NAMES, ([1, 2], [(NOW, 1.0)])), V2).headers[WRITTEN] == "1"
    answer = write(receiver, v2(NAMES, ([1, 2], [(NOW - 1, 2.0)]), ([1, 3], [(NOW, 2.0)])), V2)
    assert answer.status == 400
    assert answer.text == 'out of order sample for series {__name__="m"}'
    assert answer.headers[WRITTEN] == "1"
    assert answer.headers["X-Prometheus-Remote-Write-Histograms-Written"] == "0"
    assert stored(head, "n") == [(NOW, 2.0)]


def test_what_is_accepted_is_passed_on_needed_or_not() -> None:
    passed: list[tuple[str, float]] = []
    receiver = RemoteWriteReceiver(
        Head(Demand.of([])), on_samples=lambda batch: passed.extend((s.labels.name, s.value) for s in batch)
    )
    write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)]), ({"__name__": "n"}, [(NOW, 2.0)])))
    write(receiver, v1(({"__name__": "m"}, [(NOW + 3_600_000, 3.0)])))
    write(receiver, v2(NAMES, ([1, 2], [(NOW + 1, 4.0), (NOW + 3_600_000, 5.0)])), V2)
    assert passed == [("m", 1.0), ("n", 2.0), ("m", 4.0)]


def test_too_far_ahead_and_too_old_are_out_of_bounds() -> None:
    receiver = RemoteWriteReceiver(everything())
    ahead = write(receiver, v1(({"__name__": "m"}, [(NOW + 600_001, 1.0)])))
    assert ahead == WriteAnswer(400, "out of bounds: timestamp is too far in the future")
    assert write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)]))).status == 204
    behind = write(receiver, v1(({"__name__": "n"}, [(NOW - 3_600_001, 1.0)])))
    assert behind == WriteAnswer(400, "out of bounds")


def test_what_no_rule_wants_is_accepted_and_dropped() -> None:
    head = Head(Demand.of([]))
    receiver = RemoteWriteReceiver(head)
    assert write(receiver, v1(({"__name__": "m"}, [(NOW, 1.0)]))).status == 204
    assert head.series_count == 0
    assert receiver.counts.unwanted_samples == 1


def test_stale_markers_are_stored_bit_for_bit() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head)
    for _ in range(2):  # a retry of a stale marker is no contradiction, though NaN != NaN
        assert write(receiver, v1(({"__name__": "m"}, [(NOW, STALE)]))).status == 204
    assert is_stale(stored(head)[0][1])


def test_metadata_is_handed_on() -> None:
    seen: list[MetricMetadata] = []
    request = v1(({"__name__": "m"}, [(NOW, 1.0)]))
    request.metadata.add(type=2, metric_family_name="m", help="h")
    write(RemoteWriteReceiver(everything(), on_metadata=seen.extend), request)
    assert seen == [MetricMetadata("m", "gauge", "h", "")]


def test_over_http() -> None:
    head = everything()
    receiver = RemoteWriteReceiver(head, WriteLimits(max_body_bytes=200_000))
    app = Starlette(routes=remote_write_routes(receiver, FakeClock(NOW)))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as client:
            body = compress(v1(({"__name__": "m"}, [(NOW, 1.0)])).SerializeToString())
            answer = await client.post("/api/v1/write", content=body)
            assert (answer.status_code, answer.content) == (204, b"")
            assert "content-length" not in answer.headers
            body = compress(v2(NAMES, ([1, 3], [(NOW, 1.0)])).SerializeToString())
            answer = await client.post("/api/v1/prom/write", content=body, headers={"Content-Type": V2})
            assert (answer.status_code, answer.headers[WRITTEN]) == (204, "1")
            answer = await client.post("/api/v1/write", content=b"rubbish")
            assert answer.status_code == 400
            assert answer.text.startswith("snappy")
            big = v1(*[({"__name__": "m", "n": f"{i}-{i * 7919}"}, [(NOW, 1.0)]) for i in range(5000)])
            answer = await client.post("/api/v1/write", content=compress(big.SerializeToString()))
            assert answer.status_code == 204
            answer = await client.post("/api/v1/write", content=b"x" * 200_001)
            assert answer.status_code == 413

            async def endless() -> object:
                while True:
                    yield b"x" * 50_000

            answer = await client.post("/api/v1/write", content=endless())  # type: ignore[arg-type]
            assert answer.status_code == 413

    asyncio.run(run())
    assert head.series_count == 5002
    assert Labels.of(__name__="n") in head.series([Matcher("__name__", MatchOp.EQUAL, "n")])


def of_start(start: int, ts: int = NOW, histogram_start: int = 0) -> object:
    request = v2(NAMES, ([1, 2], []))
    series = request.timeseries[0]
    if histogram_start:
        series.labels_refs[1] = 3
        series.histograms.add(count_int=1, zero_count_int=1, sum=2, timestamp=ts, start_timestamp=histogram_start)
    else:
        series.samples.add(timestamp=ts, value=5, start_timestamp=start)
    return request


def test_a_start_timestamp_of_2_0_is_a_zero_where_the_feature_is_on() -> None:
    head, passed = everything(), list[Sample]()
    receiver = RemoteWriteReceiver(head, on_samples=passed.extend, zero_at_start=True)
    for ts, start in ((NOW, NOW - 5_000), (NOW + 1_000, NOW - 5_000), (NOW + 9_000, NOW + 4_000)):
        answer = write(receiver, of_start(start, ts), V2, now=NOW + 9_000)
        assert (answer.status, answer.headers[WRITTEN]) == (204, "1")  # a zero is not counted
    assert stored(head) == [(NOW - 5_000, 0), (NOW, 5), (NOW + 1_000, 5), (NOW + 4_000, 0), (NOW + 9_000, 5)]
    assert [(s.ts, s.value) for s in passed] == stored(head)
    assert write(receiver, of_start(NOW + 20_000, NOW + 10_000), V2, now=NOW + 9_000).status == 204
    assert write(receiver, of_start(NOW - 3_600_000, NOW + 11_000), V2, now=NOW + 9_000).status == 204
    assert [value for _, value in stored(head)][-3:] == [5, 5, 5]
    assert receiver.counts.refused_samples == 0


def test_a_start_timestamp_of_a_histogram_is_an_empty_one() -> None:
    passed = list[Sample]()
    receiver = RemoteWriteReceiver(everything(), on_samples=passed.extend, zero_at_start=True)
    answer = write(receiver, of_start(0, NOW, histogram_start=NOW - 5_000), V2)
    assert answer.headers["X-Prometheus-Remote-Write-Histograms-Written"] == "1"
    counts = [(s.ts, s.histogram.count) for s in passed if isinstance(s, HistogramSample)]
    assert counts == [(NOW - 5_000, 0), (NOW, 1)]


def test_without_the_feature_start_timestamps_are_not_read() -> None:
    head = everything()
    assert write(RemoteWriteReceiver(head), of_start(NOW - 5_000), V2).status == 204
    assert stored(head) == [(NOW, 5)]
