"""Reading parameters: what is taken, what is refused, and how much."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.web.answers import ApiError, success
from rulepush.web.params import MAX_FORM_BYTES, Params
from tests.web.asking import ask_app


async def echo(request: Request) -> Response:
    params = await Params.of(request)
    return success(params.texts("a"))


ROUTES = [Route("/echo", echo, methods=["GET", "POST"])]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_a_form_comes_before_the_url() -> None:
    answer = ask_app(ROUTES, "POST", "/echo?a=3", content="a=1&a=2&b=x", headers=FORM)
    assert answer.json()["data"] == ["1", "2", "3"]
    assert ask_app(ROUTES, "GET", "/echo?a=3&a=").json()["data"] == ["3", ""]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"a=" + b"x" * MAX_FORM_BYTES, f"the body is larger than the limit of {MAX_FORM_BYTES} bytes"),
        (b"a=\xff\xfe", "'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"),
    ],
)
def test_a_form_that_is_too_large_or_not_text_is_refused(body: bytes, text: str) -> None:
    """With Prometheus' status for both, 400."""
    answer = ask_app(ROUTES, "POST", "/echo", content=body, headers=FORM)
    error = answer.json()
    assert (answer.status_code, error["errorType"]) == (400, "bad_data")
    assert error["error"] == f"error parsing form values: {text}"


def test_a_form_of_many_empty_values_is_read() -> None:
    assert ask_app(ROUTES, "POST", "/echo", content=b"&" * 10_000, headers=FORM).json()["data"] == []


def test_a_compressed_form_is_refused_and_not_read_as_text() -> None:
    answer = ask_app(ROUTES, "POST", "/echo", content=b"a=1", headers={**FORM, "Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["error"].endswith("content encoding gzip is not supported: send none")


def of(value: str) -> Params:
    return Params([("p", value)])


@pytest.mark.parametrize(
    ("value", "ms"),
    [("1", 1000), ("1.5", 1500), ("-3", -3000), ("2023-11-14T22:13:20.5Z", 1_700_000_000_500), ("1e3", 1_000_000)],
)
def test_times(value: str, ms: int) -> None:
    assert of(value).time("p") == ms


@pytest.mark.parametrize(("value", "ms"), [("1", 1000), ("0.25", 250), ("1m30s", 90_000), ("-1", -1000)])
def test_durations(value: str, ms: int) -> None:
    assert of(value).duration("p") == ms


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (lambda p: p.time("p"), ("", "x", "nan", "inf", "1e99", "2023-11-14", "\x00", "9" * 5000)),
        (lambda p: p.duration("p"), ("", "x", "nan", "inf", "-inf", "1e99", "1x", "5m ", "9" * 5000 + "y")),
        (lambda p: p.limit("p"), ("x", "-1", "1.5", "9" * 5000)),
        (lambda p: p.flag("p"), ("2", "yes", "tRUE")),
        (lambda p: p.matchers("p"), ("", "{", "x[5m]", "x offset 5m", "1", "{}", "a" * 1000 + "(")),
    ],
)
def test_what_is_none_is_refused_in_prometheus_words(read: Callable[[Params], object], values: tuple[str, ...]) -> None:
    for value in values:
        with pytest.raises(ApiError, match='invalid parameter "p": '):
            read(of(value))


def test_defaults() -> None:
    assert Params([]).optional_time("p", 5) == 5
    assert Params([]).duration("p", 6) == 6
    assert Params([]).limit("p") is None
    assert of("0").limit("p") is None
    assert of("T").flag("p") is True
    assert Params([]).flag("p") is False
    assert Params([]).text("p", "x") == "x"
