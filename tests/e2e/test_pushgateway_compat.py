"""The same pushes to a real Pushgateway and to our receiver: same statuses, same texts, same series.

Left out on purpose, because the real one does worse there: it answers nothing at all to
`{} 1`, and a group whose own labels collide spoils every later push to any group.
"""

from __future__ import annotations

import gzip
import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import httpx
import prometheus_client
import pytest

from rulepush.exposition import Format, parse_body
from rulepush.model.labels import Labels
from tests.delimited_families import CONTENT_TYPE
from tests.e2e import protobuf_pushes
from tests.push.fixtures import Receiver, receiver
from tests.servers import binary, free_port, running

pytestmark = pytest.mark.e2e

HISTOGRAM = b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n'
SUMMARY = b'# HELP s of s\n# TYPE s summary\ns{quantile="0.5",x="y"} 1\ns_sum{x="y"} 1\ns_count{x="y"} 2\ns_count 4\n'
DELIMITED = {"Content-Type": CONTENT_TYPE}
# One frame that is not compressed, with the checksum that google/snappy framing_format.txt asks for.
SNAPPY_STREAM = bytes(cramjam.snappy.compress(b"a 1\n"))


@dataclass(frozen=True)
class Push:
    """One request; `strict` compares the whole text of the answer. (Where two names collide, Pushgateway names either
    of them first, as its map happens to be ordered.)"""

    body: bytes = b"a 1\n"
    path: str = "/metrics/job/j"
    method: str = "PUT"
    headers: dict[str, str] = field(default_factory=dict)
    strict: bool = True


# Each case begins on empty gateways.
CASES: dict[str, list[Push]] = {
    **{
        f"path {path}": [Push(path=path, strict="/job/" in path)]
        for path in [
            "/metrics/job/j/",
            "/metrics/job/j/a",
            "/metrics/job/j/a/b",
            "/metrics/job/j/a/b/",
            "/metrics/job/j/a/",
            "/metrics/job/j//b",
            "/metrics/job//a/b",
            "/metrics/job/j/__a/b",
            "/metrics/job/j/a-b/c",
            "/metrics/job/j/job/k",
            "/metrics/job@base64/Lw",
            "/metrics/job@base64/Lw==",
            "/metrics/job@base64/=",
            "/metrics/job/j/a@base64/!!",
            "/metrics/job/j/a@base64/=",
            "/metrics/job/j/a@base64/L3Zhci90bXA",
            "/metrics/job/j/a/x%2Fy",
            "/metrics/job/a%2Fb",
            "/metrics/job/j/a/b/a/c",
            "/metrics/job/j/instance@base64/=",
            "/metrics/job/%E4%B8%AD",
            "/metrics/job/j/@base64/YQ",
            "/metrics/job/j/a/b@base64",
            "/metrics/job/j/a@base64/YQ=Y",
            "/metrics/job/j/a@base64/YR",
            "/metrics/job/j/a@base64/YQ%3D%3D",
            "/metrics/job/j/a/b+c",
            "/metrics/job/j/a/b%20c",
            "/metrics/job/j/a@base64/%2B%2B",
            "/metrics/job/j/a@base64/Y",
            "/metrics/job/j/instance/i",
            "/metrics/foo/j",
        ]
    },
    **{
        f"body {body!r}": [Push(body)]
        for body in [
            b"",
            b"\n",
            b"a 1",
            b'a{x="1"} 1\na{x="1"} 2\n',
            b"a 1 123\n",
            b'a{job="k",instance="i"} 1\n',
            b"# TYPE a counter\na 1\n# TYPE a counter\n",
            b"# HELP a x\n# HELP a y\na 1\n",
            b"a 1\n# TYPE a gauge\n",
            b"# TYPE a foo\na 1\n",
            b"# TYPE a unknown\na 1\n",
            b"# TYPE a gauge\n",
            b"a\n",
            b"1a 1\n",
            b"a{x=1} 1\n",
            b'a{x="1",x="2"} 1\n',
            b'a{__x="1"} 1\n',
            b'a{x="\xff"} 1\n',
            HISTOGRAM,
            b"h_count 5\n",
            SUMMARY,
            b"a NaN\nb +Inf\nc -Inf\nd 1e3\n",
            b"c 0x10\n",
            b"d 1_0\n",
            b'a{x="\\n\\\\\\""} 1\n',
            b'a{x="\\q"} 1\n',
            b"  a   1\n",
            b'a{ x = "1" , } 1\n',
            b"a 1 \n",
            b"a\t1\n",
            b"a 1\r\n",
            b"push_time_seconds 3\n",
            b"# EOF\n",
            b"a 1\n# EOF\nb 2\n",
            b"# TYPE c counter\nc_total 1\n# EOF\n",
            b'# TYPE s summary\ns{quantile="x"} 1\n',
            b'# TYPE h histogram\nh_bucket{le="x"} 1\n',
            b"# TYPE h histogram\nh 1\n",
            b"# TYPE h histogram\nh_bucket 1\n",
            b'a{quantile="0.5"} 1\na{le="1"} 2\n',
            b"a 1\nb 2\na 3\n",
            b'a{x="1"} 1\nb 2\na{x="2"} 3\n',
            b'a{x="1\n"} 2\n',
            b'"a b" 1\n',
            b"a 1 2 3\n",
            b"a 1 x\n",
            b"a x\n",
            b"a{} 1\n",
            b"a{,} 1\n",
            b'a{x="1"',
            b"# HELP a foo\\nbar\\\\ \n# TYPE a untyped\na 1\n",
            b"# HELP a foo\\x\na 1\n",
            b'a{__name__="x"} 1\n',
            b"#\n# TYPE\n# TYPE a\n# HELP a\n#comment\n# TYPE 1a gauge\n",
            b"# TYPE a gauge\n# TYPE b gauge",
            b"# TYPE t summary\nt_count 1\n# TYPE t_count counter\nt_count 1\n",
            b"a 1e999\n",
            b"a +nan\n",
            b"a \xef\xbc\x91\n",
            b"a \xff\n",
            b"a x",
            b"# HELP a \\q",
            b'# HELP a say \\"x\\"\na 1\n',
            b"# TYPE a gau\\ge\na 1\n",
            b"# TYPE a Gauge\na 1\n",
            b"# TYPE a g\x7fauge\na 1\n",
            b'# TYPE "a b"\na 1\n',
            b'a{x="\xff\n"} 1\n',
            b"# TYPE h histogram\nh_count 1.5\n",
            b"# TYPE h histogram\nh_count -1\n",
            b'# TYPE h histogram\nh_bucket{le="1"} -1\n',
            b"# TYPE s summary\ns_count 1.5\n",
            b'# TYPE h histogram\nh_bucket{le="1",le="2"} 1\nh_count 1\n',
            b'# TYPE h histogram\nh_bucket{{le="1"} 1\n',
            b'# TYPE h gaugehistogram\nh_bucket{le="1"} 1\nh_sum 3\nh_count 2\n',
            b"# TYPE h gauge_histogram\nh_count 1\n",
        ]
    },
    "put replaces the group": [Push(b"a 1\nb 2\n"), Push(b"a 3\n")],
    "post replaces families": [
        Push(b'a{x="1"} 1\na{x="2"} 1\nb 2\n', method="POST"),
        Push(b'a{x="1"} 3\n', method="POST"),
    ],
    "post of a histogram replaces all of it": [Push(HISTOGRAM), Push(HISTOGRAM[:40] + b"h_count 7\n", method="POST")],
    "empty put empties": [Push(b"a 1\n"), Push(b"")],
    "empty post keeps": [Push(b"a 1\n"), Push(b"", method="POST")],
    "delete removes exactly its group": [
        Push(b"a 1\n"),
        Push(b"a 1\n", path="/metrics/job/j/x/y"),
        Push(b"", method="DELETE"),
    ],
    "delete of nothing": [Push(b"", method="DELETE", path="/metrics/job/none")],
    "delete with a bad path": [Push(b"", method="DELETE", path="/metrics/job/j/a")],
    "a failure leaves the group as it was": [Push(b"a 1\n"), Push(b"a 1 5\n"), Push(b"a{x=1} 1\n")],
    "type conflict with another group": [
        Push(b"# TYPE a counter\na 1\n", path="/metrics/job/k"),
        Push(b"# TYPE a gauge\na 1\n", strict=False),
    ],
    "help may differ": [
        Push(b"# HELP a one\na 1\n", path="/metrics/job/k"),
        Push(b"# HELP a two\na 1\n"),
    ],
    "names run into a histogram": [
        Push(b"# TYPE h histogram\nh_count 1\n", path="/metrics/job/k"),
        Push(b"# TYPE h_count gauge\nh_count 1\n", strict=False),
        Push(b"# TYPE h_bucket gauge\nh_bucket 1\n", strict=False),
    ],
    "names run into a summary": [
        Push(b"# TYPE h summary\nh_count 1\n", path="/metrics/job/k"),
        Push(b"# TYPE h_count gauge\nh_count 1\n", strict=False),
        Push(b"# TYPE h_bucket gauge\nh_bucket 1\n", strict=False),
    ],
    "a summary runs into a name": [
        Push(b"k_sum 1\n", path="/metrics/job/k"),
        Push(b"# TYPE k summary\nk_count 1\n", strict=False),
        Push(b"# TYPE k histogram\nk_count 1\n", strict=False),
    ],
    **{
        f"quoted names {body!r}": [Push(body)]
        for body in [
            b'{"a"} 1\n',
            b'"a" 1\n',
            b'"a"{x="1"} 1\n',
            b'{"a",x="1"} 1\n',
            b'{x="1","a"} 1\n',
            b'{ "a" , x = "1" , } 1\n',
            b"{a} 1\n",
            b'{a,x="1"} 1\n',
            b'{"a:b"} 1\n',
            b'a{"x"="1"} 1\n',
            b'a{"x"} 1\n',
            b'a{"x y"="1"} 1\n',
            b'{"a b"} 1\n',
            b'{"a","b"} 1\n',
            b'{"a" x="1"} 1\n',
            b'a_"b"{x="1"} 1\n',
            b'{a_"b",x_"y"="1"} 1\n',
            b'a{"x"="1"}',
            b'{"a\xff"} 1\n',
            b'{"a\n"} 1\n',
            b'{"a\\q"} 1\n',
            b'{x="1"} 1\n',
            b'# TYPE "a" gauge\na 1\n',
            b'# TYPE "a b" gauge\n{"a b"} 1\n',
            b'# TYPE "h" histogram\n{"h_bucket",le="1"} 1\n{"h_bucket",le="+Inf"} 2\n{"h_sum"} 3\n{"h_count"} 2\n',
        ]
    },
    "the same series from another group": [
        Push(b'q{instance="x"} 1\n', path="/metrics/job/k"),
        Push(b"q 1\n", path="/metrics/job/k/instance/x"),
    ],
    "gzip": [Push(gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip"})],
    "gzip that is none": [Push(b"a 1\n", headers={"Content-Encoding": "gzip"}, strict=False)],
    "snappy": [Push(SNAPPY_STREAM, headers={"Content-Encoding": "snappy"})],
    "snappy that is none": [Push(b"a 1\n", headers={"Content-Encoding": "snappy"}, strict=False)],
    "snappy that is cut off": [Push(SNAPPY_STREAM[:-1], headers={"Content-Encoding": "snappy"}, strict=False)],
    **{
        f"protobuf: {name}, {method}": [Push(body, method=method, headers=DELIMITED) for body in bodies]
        for name, bodies in protobuf_pushes.CASES.items()
        for method in ("PUT", "POST")
    },
    **{
        f"protobuf as {content_type}": [Push(protobuf_pushes.A, headers={"Content-Type": content_type}, strict=False)]
        for content_type in (
            'Application/VND.google.protobuf;PROTO="io.prometheus.client.MetricFamily";encoding="delimited"; x=y',
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; encoding=x",
            "application/vnd.google.protobuf; proto=x; encoding=delimited",
        )
    },
    "gzipped protobuf": [Push(gzip.compress(protobuf_pushes.A), headers=DELIMITED | {"Content-Encoding": "gzip"})],
    "a text push after protobuf": [Push(protobuf_pushes.A, headers=DELIMITED), Push(b"a 2\n", method="POST")],
    "protobuf deleted": [Push(protobuf_pushes.A, headers=DELIMITED), Push(b"", method="DELETE")],
    "protobuf beside another group of another type": [
        Push(b"# TYPE a counter\na 1\n", path="/metrics/job/k"),
        Push(protobuf_pushes.A, headers=DELIMITED, strict=False),
    ],
    "protobuf with names that run into a histogram": [
        Push(protobuf_pushes.one(4, protobuf_pushes.CLASSIC), path="/metrics/job/k", headers=DELIMITED),
        Push(b"# TYPE m_count gauge\nm_count 1\n", strict=False),
    ],
    "unknown content type": [Push(headers={"Content-Type": "foo/bar"})],
    "other methods": [Push(method="PATCH"), Push(method="GET")],
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"127.0.0.1:{free_port()}"
    command = [binary("prometheus-pushgateway"), f"--web.listen-address={url}", "--web.enable-admin-api"]
    command.append("--persistence.file=")
    log = tmp_path_factory.mktemp("pushgateway") / "log"
    with running(command, log, f"http://{url}/-/ready"):
        yield f"http://{url}"


@pytest.fixture(scope="module")
def ours() -> Iterator[Receiver]:
    with receiver() as r:
        yield r


def empty(real: str, ours: Receiver) -> None:
    httpx.put(f"{real}/api/v1/admin/wipe", trust_env=False, timeout=60).raise_for_status()
    for group in list(ours.groups):
        ours.groups.delete(group.key)
    ours.groups.collect(0)


def real_series(url: str) -> dict[Labels, float]:
    """What a scraper sees, without the gateway's own metrics."""
    headers = {"Accept": "text/plain;version=1.0.0;escaping=allow-utf-8"}
    body = parse_body(httpx.get(f"{url}/metrics", headers=headers, trust_env=False, timeout=60).content, Format.TEXT)
    found = {Labels(s.pairs): s.value for s in body.samples}
    return {labels: value for labels, value in found.items() if labels.get("job")}


def comparable(series: dict[Labels, float]) -> dict[str, str]:
    """Times of pushes differ by a little: only whether there was one counts. NaN equals NaN."""
    return {
        str(labels): str(value > 0) if labels.name.startswith("push_") else "NaN" if math.isnan(value) else str(value)
        for labels, value in series.items()
    }


def send(base: str, push: Push) -> httpx.Response:
    return httpx.request(
        push.method, base + push.path, content=push.body, headers=push.headers, timeout=60, trust_env=False
    )


def one_space(text: str) -> str:
    """Go's protobuf package prints one or two blanks between fields, by a hash of the program, so that none relies on
    its text (internal/encoding/text/encode.go). Here it is always one, as in the errors of its proto package."""
    text = text.replace("proto:\xa0", "proto: ")
    return re.sub(r'(?<=["}0-9])  (?=[a-z_]+:)', " ", text)


@pytest.mark.parametrize("name", CASES)
def test_same_answer_and_same_series(name: str, real: str, ours: Receiver) -> None:
    empty(real, ours)
    for push in CASES[name]:
        theirs, got = send(real, push), send(ours.url, push)
        assert got.status_code == theirs.status_code, (push, theirs.text, got.text)
        if push.strict:
            assert got.text == one_space(theirs.text)
        assert got.headers.get("location") == theirs.headers.get("location")
        assert comparable(ours.series()) == comparable(real_series(real))


def test_same_view_of_the_groups(real: str, ours: Receiver) -> None:
    empty(real, ours)
    counter = b'# HELP c of c\n# TYPE c counter\nc{a="b"} 1e+20\n'
    for base in (real, ours.url):
        send(base, Push(HISTOGRAM + SUMMARY + counter))
        send(base, Push(b"a NaN\n", path="/metrics/job/k/x/y"))
        send(base, Push(b"a 1 2\n", path="/metrics/job/k/x/y"))

    def view(base: str) -> object:
        data = httpx.get(f"{base}/api/v1/metrics", trust_env=False, timeout=60).json()
        assert data["status"] == "success"
        for group in data["data"]:
            for family in group.values():
                if isinstance(family, dict) and "time_stamp" in family:
                    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", family.pop("time_stamp"))
            for name in ("push_time_seconds", "push_failure_time_seconds"):
                metric = group[name]["metrics"][0]
                metric["value"] = float(metric["value"]) > 0
        return sorted(data["data"], key=lambda g: str(sorted(g["labels"].items())))

    assert view(ours.url) == view(real)


def test_prometheus_client_pushes(real: str, ours: Receiver) -> None:
    empty(real, ours)
    registry = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("jobs", "Jobs.", ["kind"], registry=registry)
    counter.labels("a b").inc(3)
    prometheus_client.Histogram("took_seconds", "Took.", registry=registry, buckets=(1, 5)).observe(2)
    prometheus_client.Summary("size", "Size.", registry=registry).observe(2)
    prometheus_client.Info("build", "Build.", registry=registry).info({"version": "1"})
    prometheus_client.Enum("mode", "Mode.", states=["on", "off"], registry=registry)
    grouping = {"instance": "i/1", "empty": "", "text": "ä b"}

    def compare() -> dict[str, str]:
        mine, theirs = comparable(ours.series()), comparable(real_series(real))
        # prometheus_client pushes `_created` times and text that both must read alike.
        assert mine == theirs
        return mine

    for base in (real, ours.url):
        prometheus_client.push_to_gateway(base, "batch", registry, grouping)
    assert 'jobs_total{instance="i/1", job="batch", kind="a b", text="ä b"}' in compare()
    counter.labels("c").inc()
    for base in (real, ours.url):
        prometheus_client.pushadd_to_gateway(base, "batch", registry, grouping)
    compare()
    for base in (real, ours.url):
        prometheus_client.delete_from_gateway(base, "batch", grouping)
    assert compare() == {}


def test_curl_lines_of_the_documentation(real: str, ours: Receiver, tmp_path: Path) -> None:
    """Every curl line of docs/push.md, against both."""
    binary("curl")
    page = (Path(__file__).parents[2] / "docs" / "push.md").read_text()
    blocks = [b for b in re.findall(r"```sh\n(.*?)```", page, re.S) if "curl" in b and "$RULEPUSH" in b]
    assert blocks
    (tmp_path / "metrics.prom").write_text(
        "# TYPE backup_last_success_timestamp_seconds gauge\nbackup_last_success_timestamp_seconds 1.7e9\n"
    )
    for block in blocks:
        empty(real, ours)
        for base in (real, ours.url):
            done = subprocess.run(
                ["sh", "-e", "-c", block],
                env={"PATH": "/usr/bin:/bin", "RULEPUSH": base, "no_proxy": "*"},
                cwd=tmp_path,
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, (block, done.stderr)
        mine = {k: v for k, v in comparable(ours.series()).items() if not k.startswith("rulepush_push_up")}
        assert mine == comparable(real_series(real)), block
