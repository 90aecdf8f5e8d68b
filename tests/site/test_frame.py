"""The frame: headers, languages, the switch, the bar of what is wrong, assets, the prefix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from jinja2 import UndefinedError
from starlette.requests import Request

from rulepush.site.environment import templates
from rulepush.site.language import Language, annotations_for, language_of, message
from rulepush.site.trouble import Trouble, TroubleKind
from tests.rules.world import T0
from tests.web.app_parts import Parts
from tests.web.asking import ask_app

BAD = Trouble(
    TroubleKind.DELIVERY,
    message("Alerts do not reach %(url)s, %(count)d wait", url="http://am/<b>", count=205),
    T0 - 720_000,
    "/delivery",
    "HTTP 400 <script>alert(1)</script>",
)


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.fixture
def troubled(parts: Parts) -> Iterator[Parts]:
    parts.troubles = (BAD,)
    yield parts
    parts.troubles = ()


def get(parts: Parts, path: str, **options: Any) -> httpx.Response:
    answer = ask_app(parts.routes(), "GET", path, **options)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_page_lets_nothing_in_but_its_own_style_and_script(parts: Parts) -> None:
    headers = get(parts, "/alerts").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"


def test_no_template_has_an_inline_style_script_or_handler() -> None:
    for name in templates().list_templates():
        source, _, _ = templates().loader.get_source(templates(), name)  # type: ignore[union-attr]
        low = source.lower()
        assert " style=" not in low
        assert "<style" not in low
        assert low.count("<script") == low.count('<script src="{{ page.script }}"')
        assert " on" + "click" not in low
        assert "javascript:" not in low
        assert "| safe\n" not in low
        assert "| safe }" not in low


def test_a_name_that_a_template_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        templates().from_string("{{ nobody_gave_this }}").render()


def test_assets_are_kept_by_browsers_and_change_their_name_with_their_content(parts: Parts) -> None:
    page = get(parts, "/alerts").text
    for before, kind in (('href="/assets/style-', "text/css"), ('src="/assets/site-', "text/javascript")):
        path = page.partition(before)[2].partition('"')[0]
        path = before.partition('"')[2] + path
        asset = get(parts, path)
        assert asset.headers["content-type"].startswith(kind)
        assert "immutable" in asset.headers["cache-control"]
    assert ask_app(parts.routes(), "GET", "/assets/style-000000000000.css").status_code == 404
    assert ask_app(parts.routes(), "GET", "/assets/..%2f__init__.py").status_code == 404


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", Language.CHINESE),
        ("zh-Hant-TW", Language.CHINESE),
        ("en-US,en;q=0.9,zh;q=0.1", Language.ENGLISH),
        ("en;q=0.3, zh;q=0.7", Language.CHINESE),
        ("de, fr", Language.ENGLISH),
        ("zh;q=0", Language.ENGLISH),
        ("zh;q=much", Language.ENGLISH),
        ("", Language.ENGLISH),
    ],
)
def test_the_language_is_the_one_that_the_browser_prefers(header: str, language: Language) -> None:
    scope = {
        "type": "http",
        "query_string": b"",
        "headers": [(b"accept-language", header.encode())],
    }
    assert language_of(Request(scope)) is language


def test_a_choice_of_language_is_kept_and_goes_before_the_browsers(parts: Parts) -> None:
    chosen = get(parts, "/rules", params={"lang": "zh"})
    assert '<html lang="zh">' in chosen.text
    cookie = chosen.headers["set-cookie"]
    assert cookie.startswith("rulepush_lang=zh;")
    assert "HttpOnly" in cookie
    again = get(parts, "/rules", headers={"Cookie": "rulepush_lang=zh", "Accept-Language": "en"})
    assert "规则" in again.text
    assert "set-cookie" not in again.headers
    assert '<html lang="en">' in get(parts, "/rules", params={"lang": "tlh"}).text


def test_the_switch_leads_to_the_same_page_with_its_parameters(parts: Parts) -> None:
    text = get(parts, "/graph", params={"g0.expr": "up", "lang": "zh"}).text
    assert 'href="/graph?g0.expr=up&amp;lang=en"' in text


def test_a_language_varies_what_a_cache_may_keep(parts: Parts) -> None:
    assert get(parts, "/rules").headers["vary"] == "Accept-Encoding, Accept-Language, Cookie"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, gzip;q=0.8", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("br, zstd", None),
        ("", None),
    ],
)
def test_an_answer_is_compressed_for_who_can_read_it(parts: Parts, accepted: str, coding: str | None) -> None:
    plain = get(parts, "/alerts", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    answer = get(parts, "/alerts", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.text == plain.text
    style = plain.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    sheet = get(parts, style, headers={"Accept-Encoding": accepted})
    assert sheet.headers.get("content-encoding") == coding
    assert sheet.text == get(parts, style, headers={"Accept-Encoding": "identity"}).text
    if coding:
        assert int(answer.headers["content-length"]) < int(plain.headers["content-length"]) / 2


def test_the_switch_keeps_what_is_quoted_in_the_path() -> None:
    rules = "groups: [{name: my group, rules: [{alert: 'Odd?', expr: up == 0}]}]"
    path = "/rules/my%20group/Odd%3F"
    assert f'href="{path}?lang=zh"' in get(Parts(rules=rules), path).text
    assert f'href="/rp{path}?lang=zh"' in get(Parts(rules=rules, prefix="/rp"), f"/rp{path}").text
    assert f'href="/rp{path}?lang=zh"' in get(Parts(rules=rules, prefix="/rp", route_prefix="/"), path).text


@pytest.mark.parametrize(
    "path", ["/alerts", "/rules", "/targets", "/graph", "/backtest", "/delivery", "/groups", "/status"]
)
def test_every_page_says_what_is_wrong_now(troubled: Parts, path: str) -> None:
    text = get(troubled, path).text
    assert "Alerts do not reach http://am/&lt;b&gt;, 205 wait" in text
    assert '<time datetime="2023-11-14T22:01:20Z"' in text
    assert "HTTP 400 &lt;script&gt;" in text
    assert 'href="/delivery">More about it' in text
    assert 'role="status"' in text


def test_what_is_wrong_is_said_in_the_readers_language(troubled: Parts) -> None:
    assert "告警无法送达 http://am/&lt;b&gt;，205 条等待中" in get(troubled, "/rules", params={"lang": "zh"}).text


def test_nothing_is_said_while_nothing_is_wrong(parts: Parts) -> None:
    assert 'class="trouble ' not in get(parts, "/rules").text


def test_links_and_cookies_stay_below_the_prefix() -> None:
    behind = Parts(prefix="/rp")
    answer = get(behind, "/rp/alerts", params={"lang": "zh"})
    links = [part.partition('"')[0] for part in answer.text.split('href="')[1:]]
    assert links
    assert all(link.startswith(("/rp/", "#", "data:")) for link in links), links
    assert "/rp/alerts?lang=en" in links
    assert "Path=/rp/;" in answer.headers["set-cookie"]


def test_behind_a_proxy_that_strips_the_prefix_links_have_it_still() -> None:
    stripped = Parts(prefix="/rp", route_prefix="/")
    assert 'href="/rp/alerts?lang=en"' in get(stripped, "/alerts").text


@pytest.mark.parametrize(
    ("language", "annotations", "shown"),
    [
        (Language.CHINESE, {"summary": "s", "summary_zh": "摘", "x": "y"}, {"summary": "摘", "x": "y"}),
        (Language.ENGLISH, {"summary": "s", "summary_zh": "摘", "x": "y"}, {"summary": "s", "x": "y"}),
        (Language.CHINESE, {"summary": "s", "summary_zh": ""}, {"summary": "s"}),
        (Language.CHINESE, {"summary_zh": "摘"}, {"summary": "摘"}),
        (Language.ENGLISH, {"summary_zh": "摘"}, {"summary_zh": "摘"}),
    ],
)
def test_annotations_are_those_of_the_readers_language(
    language: Language, annotations: dict[str, str], shown: dict[str, str]
) -> None:
    assert annotations_for(language, annotations) == shown


def test_a_service_that_nobody_looks_at_does_not_load_the_templates_nor_what_explains_rules() -> None:
    unwanted = ["jinja2", "rulepush.site.environment", "rulepush.explain", "rulepush.livecheck"]
    code = f"import rulepush.service.app, sys; print([m for m in {unwanted} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_message_within_a_message_is_said_in_the_same_language() -> None:
    outer = message("%(duration)s ago", duration=message("never"))
    assert Language.CHINESE.say(outer) == "从未前"
    assert Language.ENGLISH.say(replace(outer, values={"duration": "5m"})) == "5m ago"
