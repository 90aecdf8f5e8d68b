from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.http_server import HttpReply, LoopbackServer


def check(body: bytes, *args: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    command = [sys.executable, "-m", "rulepush", "check", "metrics", *args]
    done = subprocess.run(command, input=body, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_good_body() -> None:
    code, out, err = check(b"# HELP a_total h\n# TYPE a_total counter\na_total 1\n")
    assert (code, err) == (0, "")
    assert out == "SUCCESS: 1 samples, 1 families with metadata, read as text/plain\n"


def test_every_bad_line_is_named() -> None:
    code, _, err = check(b"a 1\nb x\nc 1\nd{\n")
    assert code == 1
    assert [line.split(": ")[1] for line in err.splitlines()] == ["line 2", "line 4"]


@pytest.mark.parametrize("flags", [(), ("--lint-fatal",)])
def test_advice_makes_the_exit_code_3_as_promtool_has_it(flags: tuple[str, ...]) -> None:
    body = b"# TYPE a counter\na 1\n"
    code, _, err = check(body, *flags)
    assert code == 3
    assert err.splitlines() == ['a counter metrics should have "_total" suffix', "a no help text"]
    assert check(body, *flags, "--lint", "none") == (0, check(body)[1], "")


def test_a_final_eof_makes_it_openmetrics() -> None:
    body = b'# TYPE a unknown\na 1 # {x="y"} 1\n# EOF\n'
    assert check(body)[0] == 3, "it can be scraped, and has no help text"
    assert check(body, "--format", "text")[0] == 1
    code, _, err = check(body, "--format", "openmetrics")
    assert code == 1
    assert err.startswith("error: line 2: ")


@pytest.fixture
def server() -> Iterator[str]:
    """Answers /om with OpenMetrics, /html with a page, and 404 elsewhere."""

    pages = {
        "/om": HttpReply(b"a 1 5.5\n# EOF\n", content_type="application/openmetrics-text; version=1.0.0"),
        "/html": HttpReply(b"<html>", content_type="text/html"),
    }
    web = LoopbackServer(lambda request: pages.get(request.path, HttpReply(status=404)))
    yield f"http://{web.address}"
    web.close()


def test_a_url_is_read_as_the_scraper_reads_it(server: str) -> None:
    code, out, _ = check(b"", "--url", server + "/om")
    assert code == 3
    assert "application/openmetrics-text" in out
    code, _, err = check(b"", "--url", server + "/html")
    assert code == 1
    assert 'received unsupported Content-Type "text/html"' in err
    assert "web page" in err
    code, _, err = check(b"", "--url", server + "/none")
    assert (code, err) == (1, "error: server returned HTTP status 404 Not Found\n")
