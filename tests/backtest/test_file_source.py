"""Samples from files: what promtool dumps, and OpenMetrics with times."""

from __future__ import annotations

import gzip
import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rulepush.backtest.sources.file import FileSource
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.errors import SampleSourceError
from rulepush.model.sample import is_stale
from tests.backtest.loading import Points, exact, needed, points_of, series
from tests.needs import binary

T = 1_700_000_000_000
EVERYTHING = needed('{__name__=~".+"}')


def read(path: Path, need: NeededSeries = EVERYTHING) -> tuple[Points, tuple[str, ...]]:
    with FileSource(str(path), need) as found:
        bounds = found.bounds()
        return ({} if bounds is None else points_of(found.events(*bounds))), found.problems


def written(tmp_path: Path, text: str, name: str = "samples.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


OPENMETRICS = f"""\
# TYPE http_requests counter
# HELP http_requests of all
http_requests_total{{path="/a b",code="200"}} 1 {T / 1000} # {{trace_id="x # {{"}} 0.5
http_requests_total{{path="/a b",code="200"}} 2.5e+3 {T / 1000 + 15.125}
# TYPE lat histogram
lat_bucket{{le="1"}} 3 {T / 1000}
lat_bucket{{le="+Inf"}} 4 {T / 1000}
# TYPE temp gauge
temp{{a="x\\"y\\\\z\\n"}} -1.5 {T / 1000 + 15}
temp 7 {T / 1000}
unwanted 1 {T / 1000}
# EOF
"""


def test_openmetrics_is_read_with_its_exemplars_bounds_and_escapes(tmp_path: Path) -> None:
    got, problems = read(written(tmp_path, OPENMETRICS), needed("http_requests_total", "temp", "lat_bucket"))
    assert problems == ()
    assert got == {
        series('http_requests_total{path="/a b",code="200"}'): [(T, 1.0), (T + 15_125, 2500.0)],
        series('lat_bucket{le="1.0"}'): [(T, 3.0)],
        series('lat_bucket{le="+Inf"}'): [(T, 4.0)],
        series('temp{a="x\\"y\\\\z\\n"}'): [(T + 15_000, -1.5)],
        series("temp"): [(T, 7.0)],
    }


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["dump", "dump-openmetrics"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_promtool_dumps_is_what_was_put_in(tmp_path: Path, command: str, compressed: bool) -> None:
    lines = [f'g{{a="{a}"}} {i * 0.1 + a:.17g} {(T + i * 15_000 + a) / 1000:.3f}' for i in range(200) for a in range(5)]
    lines += [
        f'q{{b="ü \\"\\\\"}} {value} {(T + i * 15_000) / 1000:.3f}'
        for i, value in enumerate(["1", "NaN", "NaN", "-Inf"])
    ]
    source = written(tmp_path, "# TYPE g gauge\n# TYPE q gauge\n" + "\n".join(lines) + "\n# EOF\n")
    promtool, data = binary("promtool"), tmp_path / "data"
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", source, data], check=True, capture_output=True
    )
    (data / "wal").mkdir(exist_ok=True)
    dumped = subprocess.run([promtool, "tsdb", command, data], check=True, capture_output=True).stdout
    path = tmp_path / "dump"
    path.write_bytes(gzip.compress(dumped) if compressed else dumped)
    got, problems = read(path)
    assert exact(got) == exact(read(source)[0])
    assert len(got) == 6
    assert [value for _, value in got[series('g{a="3"}')]] == [pytest.approx(i * 0.1 + 3) for i in range(200)]
    assert [repr(v) for _, v in got[series('q{b="ü \\"\\\\"}')]] == ["1.0", "nan", "nan", "-inf"]
    assert problems == (f"{path} does not tell stale markers from NaN: 2 NaNs are taken as the end of their series, "
                        "those of 1 series with two in a row as numbers",)  # fmt: skip


def test_a_lone_nan_ends_its_series_and_two_in_a_row_are_numbers(tmp_path: Path) -> None:
    values = {"ends": "1 NaN", "comes_back": "1 NaN 2 NaN", "number": "NaN NaN 1 NaN"}
    lines = [
        f'{{__name__="{name}", x="y"}} {value} {T + i * 1000}'
        for name, of_series in values.items()
        for i, value in enumerate(of_series.split())
    ]
    got, problems = read(written(tmp_path, "\n".join(lines) + "\n"))
    markers = {labels.name: [is_stale(v) for _, v in samples] for labels, samples in got.items()}
    assert markers == {"ends": [False, True], "comes_back": [False, True, False, True], "number": [False] * 4}
    assert "6 NaNs" in problems[0]


def test_a_dump_that_is_larger_than_memory_may_be_comes_sorted_from_disk(tmp_path: Path) -> None:
    expected: Points = {
        series(f'g{{a="{a}"}}'): [(T + i * 1000 + a % 3, float(i * a)) for i in range(150)] for a in range(9)
    }
    lines = [f"{labels} {v} {t / 1000:.3f}" for labels, samples in expected.items() for t, v in samples]
    path = written(tmp_path, "\n".join(lines) + "\n# EOF\n")
    spill = tmp_path / "spill"
    spill.mkdir()
    with FileSource(str(path), EVERYTHING, directory=str(spill), at_once=100) as found:
        assert len(found._pieces) == 14
        assert found.bounds() == (T, T + 149_002)
        assert points_of(found.events(T, T + 149_002)) == expected
        middle = points_of(found.events(T + 50_000, T + 60_000))
        assert middle == {
            labels: [(t, v) for t, v in samples if T + 50_000 <= t <= T + 60_000]
            for labels, samples in expected.items()
        }
    assert list(spill.iterdir()) == []


def test_the_same_series_together_are_the_same_tuple(tmp_path: Path) -> None:
    lines = [f"{name} {i} {T / 1000 + i}" for i in range(3) for name in ("a", "b")]
    with FileSource(str(written(tmp_path, "\n".join(lines) + "\n# EOF\n")), EVERYTHING) as found:
        blocks = list(found.events(T, T + 9000))
    assert len(blocks) == 3
    assert len({id(b.block.series) for b in blocks}) == 1


def test_standard_input_is_read() -> None:
    body = io.BytesIO(gzip.compress(b'{__name__="x"} 1 1700000000000\n'))
    with FileSource("-", EVERYTHING, standard_input=io.BufferedReader(body)) as found:
        assert points_of(found.events(T, T)) == {series("x"): [(T, 1.0)]}


DUMP = '{__name__="x", a="b"} 1 1700000000000\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x 1 1700000000\nx 2\n# EOF\n", ":2: the sample has no timestamp"),
        ("x 1 1700000000000\n# EOF\n", ":1: the timestamp is not in seconds"),
        ('{"status": "success"}\n', ":1: neither OpenMetrics nor a line of `promtool tsdb dump`"),
        (DUMP + '{__name__="x", a="b"} one 1700000000000\n', ":2: not a line of `promtool tsdb dump`"),
        ("# EOF\nx 1 1700000000\n", ":2: there is more after # EOF"),
        ("x{ 1 1700000000\n# EOF\n", ":1: neither"),
        ("# TYPE x nonsense\n", ":1: invalid metric type"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SampleSourceError) as failure:
        read(path)
    assert str(failure.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("text", "problem", "samples"),
    [
        (DUMP + '{__name__="x", a="b"} 2 17000000', ":2: it ends in the middle of a line, which is left out", 1),
        ("x 1 1700000000\n", " does not end with # EOF: it may be cut off", 1),
        (DUMP + '{__name__="h"} {count:2, sum:3, (0.5,1]:2} 1700000000000\n', ": 1 native histograms are left out", 1),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, text: str, problem: str, samples: int) -> None:
    path = written(tmp_path, text)
    got, problems = read(path)
    assert sum(map(len, got.values())) == samples
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}{problem}")


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def spoiled(body: bytes) -> bytes:
    return body[:20] + bytes(b ^ 0x55 for b in body[20:60]) + body[60:]


@pytest.mark.parametrize("damage", [cut, spoiled])
def test_a_damaged_gzip_is_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "dump.gz"
    path.write_bytes(damage(gzip.compress(OPENMETRICS.encode() * 10)))
    with pytest.raises(SampleSourceError):
        read(path)


def test_a_missing_file_and_a_directory_are_told(tmp_path: Path) -> None:
    with pytest.raises(SampleSourceError, match=r"nothing\.txt: No such file or directory"):
        read(tmp_path / "nothing.txt")
    with pytest.raises(SampleSourceError, match="is a directory: dump its samples with `promtool tsdb dump"):
        read(tmp_path)


def test_nothing_that_is_needed_has_no_bounds(tmp_path: Path) -> None:
    with FileSource(str(written(tmp_path, DUMP)), needed("other")) as found:
        assert found.bounds() is None
        assert list(found.events(0, 2 * T)) == []


def test_of_two_samples_of_one_time_the_first_counts(tmp_path: Path) -> None:
    got, _ = read(written(tmp_path, "x 1 1700000000\nx 2 1700000000\n# EOF\n"))
    assert got == {series("x"): [(T, 1.0)]}
