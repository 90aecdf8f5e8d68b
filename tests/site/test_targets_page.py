"""The pages of targets: the list with its filter, one target, its last body, and service discovery."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import httpx
import pytest

from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.reporter import FailingDiscovery
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig
from rulepush.scrape.bodies import MAX_BODY_BYTES, TargetBodies
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.target import TargetHealth
from rulepush.site.target_views import TargetFilter, find_target, target_id, target_list
from tests.site.reading import get, outline, read
from tests.web.app_parts import BODY, DROP, Parts, job

LOWER = RelabelConfig(action=Action.LOWERCASE, source_labels=("env",), target_label="env")
HOST = RelabelConfig(source_labels=("__address__",), regex="(.*):.*", target_label="host")
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def scraper_of(parts: Parts, name: str) -> Scraper:
    """The first target of a job."""
    return next(pool for pool in parts.jobs if pool.job.name == name).scrapers[0]


def detail(parts: Parts, name: str) -> dict[str, str]:
    """The parameters of the page of that target."""
    return {"job": name, "target": target_id(scraper_of(parts, name).target)}


def test_the_list_counts_in_all_and_by_job_and_what_is_down_comes_first(parts: Parts) -> None:
    text = read(parts, "/targets")
    assert "1 up 1 down 2 jobs" in text
    assert "app 1 of 1 up 2 discovered, 1 dropped dead 0 of 1 up 1 discovered" in text
    assert text.index("http://down:1/metrics") < text.index("http://app:1/metrics")
    assert "2 scraped 2 kept" in text


def test_an_error_has_the_hint_of_check_live_beside_it(parts: Parts) -> None:
    text = read(parts, "/targets", health="down")
    assert 'Get "http://down:1/metrics": connection refused' in text
    assert "Nothing listens there: is the server running, and is it this port?" in text
    assert "failing for" in text


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"job": "dead"}, ["down:1"]),
        ({"health": "up"}, ["app:1"]),
        ({"text": "REFUSED"}, ["down:1"]),
        ({"text": 'instance="APP'}, ["app:1"]),
        ({"text": "  "}, ["down:1", "app:1"]),
        ({"text": "app", "job": "dead"}, []),
        ({"health": "nonsense"}, []),
    ],
)
def test_the_filter_stands_in_the_address(parts: Parts, params: dict[str, str], shown: list[str]) -> None:
    text = read(parts, "/targets", **params)
    assert [host for host in ("down:1", "app:1") if f"http://{host}/metrics" in text] == shown
    if not shown:
        assert "No target fits. Look for it among what was discovered and dropped" in text
    page = get(parts, "/targets", params=params).text
    assert escape(params.get("text", "")).replace("&quot;", "&#34;") in page, "the form keeps what was looked for"


def test_a_filter_that_is_html_is_shown_as_text(parts: Parts) -> None:
    page = get(parts, "/targets", params={"text": EVIL, "job": EVIL}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_target_shows_its_labels_before_and_after_relabelling_step_by_step() -> None:
    parts = Parts(jobs_wanted=(job("app", "app:1", relabel_configs=(HOST, LOWER, DROP)),))
    text = read(parts, "/targets/detail", **detail(parts, "app"))
    assert '__address__="app:1"' in text
    assert "{action: replace, source_labels: [__address__], regex: '(.*):.*', target_label: host}" in text
    assert "compared app:1 host : app {action: lowercase" in text
    assert "{action: lowercase, source_labels: [env], target_label: env} compared changed nothing" in text
    assert "10s, 5s" in text
    assert "--web.enable-target-bodies" in text


def test_a_target_that_is_gone_says_so(parts: Parts) -> None:
    text = outline(parts, "/targets/detail", 404, params={"job": "app", "target": "0123456789ab"}).text
    assert "This target is gone" in text
    assert "The targets of now" in text


def test_what_relabelling_dropped_is_named_with_its_rule(parts: Parts) -> None:
    text = read(parts, "/service-discovery")
    assert "app 2 discovered 1 active 1 dropped" in text
    assert "dropped by rule 1 {action: drop, source_labels: [__address__], regex: 'gone:1'} compared gone:1" in text
    assert text.index("gone:1") < text.index('instance="app:1"')
    assert read(parts, "/service-discovery", fate="active").count("dropped by rule") == 0
    only = read(parts, "/service-discovery", text="GONE")
    assert "1 to 1 of 1" in only
    assert "Nothing that was discovered fits." in read(parts, "/service-discovery", text="nowhere")


def test_what_is_no_target_says_why() -> None:
    broken = RelabelConfig(target_label="__address__", replacement="http://app:1/")
    parts = Parts(jobs_wanted=(job("app", "app:1", relabel_configs=(broken,)),))
    assert "no target" in read(parts, "/service-discovery")
    assert "no targets: all are dropped" in read(parts, "/targets")
    assert "no targets: nothing is discovered" in read(Parts(jobs_wanted=(job("none"),)), "/targets")


def test_a_discovery_that_fails_is_shown_with_its_reason(parts: Parts) -> None:
    since = parts.clock.now() - 300_000
    parts.failing_discoveries = {"http http://sd/x": FailingDiscovery(f"status 500 {EVIL}", since)}
    text = read(parts, "/service-discovery")
    parts.failing_discoveries = {}
    assert "http http://sd/x fails, its last good list stays since " in text
    assert "since 2023-11-14 22:08:35 UTC ( 5m ago )" in text
    assert EVIL in text


def test_a_discovery_that_has_not_answered_yet_is_shown(parts: Parts) -> None:
    parts.awaited_discoveries = {"eureka http://sd/eureka": f"no answer {EVIL}"}
    text = read(parts, "/service-discovery")
    parts.awaited_discoveries = {}
    assert f"eureka http://sd/eureka has given no list yet no answer {EVIL}" in text
    assert "has given no list yet" not in read(parts, "/service-discovery")


# --- the last body


def test_bodies_are_refused_until_their_flag_is_given(parts: Parts) -> None:
    answer = get(parts, "/targets/body", 403, params=detail(parts, "app"))
    assert answer.text == "Bodies are not kept: start rulepush with --web.enable-target-bodies.\n"


@pytest.fixture(scope="module")
def keeping() -> Parts:
    return Parts(bodies=TargetBodies())


def test_the_last_body_is_text_whatever_it_is(keeping: Parts) -> None:
    assert keeping.bodies is not None
    scraper = scraper_of(keeping, "app")
    page = outline(keeping, "/targets/detail", params=detail(keeping, "app"))
    assert f"Show it : HTTP 200, {len(BODY)} B," in page.text
    (link,) = [link for link in page.links if link.startswith("/targets/body")]
    assert 'queue_size{q="a<b>"} 7' in get(keeping, link).text
    content = f"<html>{EVIL}\xff</html>".encode("latin-1")
    keeping.bodies.keep(scraper, keeping.clock.now(), 403, "text/html", content, failed=True)
    answer = get(keeping, link)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == f"<html>{EVIL}\N{REPLACEMENT CHARACTER}</html>"


def test_a_long_body_says_how_much_of_it_is_kept(keeping: Parts) -> None:
    assert keeping.bodies is not None
    scraper = scraper_of(keeping, "app")
    body = b"x" * (3 * MAX_BODY_BYTES)
    keeping.bodies.keep(scraper, keeping.clock.now(), 200, "text/plain", body, failed=True)
    text = read(keeping, "/targets/detail", **detail(keeping, "app"))
    assert "HTTP 200, 3.0 MiB, of which the first 1.0 MiB are kept" in text
    assert len(get(keeping, "/targets/body", params=detail(keeping, "app")).content) == MAX_BODY_BYTES


def test_where_nothing_came_there_is_no_body(keeping: Parts) -> None:
    assert "None is kept" in read(keeping, "/targets/detail", **detail(keeping, "dead"))
    assert get(keeping, "/targets/body", 404, params=detail(keeping, "dead")).text.startswith("No body of this target")
    assert get(keeping, "/targets/body", 404, params={"job": "x"}).text == "There is no such target now.\n"


# --- many


@pytest.fixture(scope="module")
def fleet() -> Parts:
    jobs = [job(f"job{j}", *(f"host{n}:80" for n in range(200))) for j in range(5)]
    return Parts(jobs_wanted=jobs, rules="groups: []")


def test_a_thousand_targets_have_pages(fleet: Parts) -> None:
    first = outline(fleet, "/targets")
    assert "1,000 up" in first.text
    assert "1 to 50 of 1,000" in first.text
    assert first.text.count("/metrics") == 50
    assert "/targets?page=2" in first.links
    last = outline(fleet, "/targets", params={"page": "20", "text": "host"})
    assert "951 to 1,000 of 1,000" in last.text
    assert "/targets?text=host&page=19" in last.links
    assert not any("page=21" in link for link in last.links)
    assert "951 to 1,000 of 1,000" in read(fleet, "/targets", page="99999")
    assert "1 to 50 of 1,000" in read(fleet, "/targets", page="-3")
    assert len(get(fleet, "/targets").content) < 100_000


def test_a_target_is_found_by_an_id_that_tells_it_from_all_others(fleet: Parts) -> None:
    scrapers = [scraper for pool in fleet.jobs for scraper in pool.scrapers]
    ids = {target_id(scraper.target) for scraper in scrapers}
    assert len(ids) == 1_000
    found = find_target(fleet.jobs, "job3", target_id(scrapers[700].target))
    assert found is not None
    assert found[1] is scrapers[700]
    assert find_target(fleet.jobs, "job2", target_id(scrapers[700].target)) is None


def test_a_label_and_an_error_that_are_html_are_shown_as_text() -> None:
    parts = Parts(jobs_wanted=(job("app", "app:1"),))
    scraper = scraper_of(parts, "app")
    scraper.target = replace(scraper.target, all_labels=Labels({**scraper.target.all_labels.as_dict(), "x": EVIL}))
    scraper.status.health, scraper.status.last_error = TargetHealth.DOWN, f"bad {EVIL}"
    for path in ("/targets", "/targets/detail", "/service-discovery"):
        page = get(parts, path, params=detail(parts, "app") if "detail" in path else {}).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_scrapes_that_were_left_out_are_counted_beside_their_target() -> None:
    parts = Parts(jobs_wanted=(job("app", "app:1"),))
    scraper_of(parts, "app").status.skipped = 1_234
    assert "1,234 left out" in read(parts, "/targets")
    assert "1,234 scrapes did not take place since the start" in read(parts, "/targets/detail", **detail(parts, "app"))


def test_the_view_is_frozen_while_it_is_rendered(parts: Parts) -> None:
    shown = target_list(parts.jobs, TargetFilter(), 1)
    scraper = scraper_of(parts, "app")
    before, scraper.status.last_error = scraper.status.last_error, "later"
    assert [row.error for row in shown.rows.rows if row.job == "app"] == [before]
    scraper.status.last_error = before


def test_the_list_in_chinese(parts: Parts) -> None:
    answer: httpx.Response = get(parts, "/targets", headers={"Accept-Language": "zh-CN"})
    assert "1 个正常" in answer.text
    assert "抓取目标" in answer.text
    assert "那里没有进程在监听" in answer.text


def test_a_token_in_the_parameters_of_a_target_is_on_no_page_and_in_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    secret = (("accessToken", ("hunter2",)), ("page", ("7",)))
    rules = "groups: [{name: g, rules: [{alert: A, expr: 'nothing > 1'}]}]"
    parts = Parts(rules=rules, jobs_wanted=[job("app", "app:1", params=secret), job("dead", "down:1", params=secret)])
    texts = [get(parts, "/targets").text, get(parts, "/service-discovery").text]
    texts += [get(parts, "/targets/detail", params=detail(parts, name)).text for name in ("app", "dead")]
    texts += [get(parts, path).text for path in ("/api/v1/targets", "/api/v1/rules/explain?name=A", "/rules/g/A")]
    assert "accessToken=&lt;secret&gt;&amp;page=7" in texts[0]
    assert "http://down:1/metrics?accessToken=<secret>&page=7" in texts[4]
    assert all("accessToken" in text for text in texts[:5])
    assert "No such rule" not in texts[6]
    for text in (*texts, caplog.text):
        assert "hunter2" not in text


def sharded(*wanted: ScrapeConfig) -> Parts:
    """Shard 0 of 3, counted from 0: of app:0 to app:9 it has four."""
    return Parts(jobs_wanted=wanted, sharding=ScrapeSharding(0, 3))


APPS = tuple(f"app:{i}" for i in range(10))
MINE = tuple(a for a in APPS if ScrapeSharding(0, 3).owners(Labels({"__address__": a})) == (0,))


def test_a_shard_says_which_it_is_and_how_many_targets_it_leaves_to_others() -> None:
    parts = sharded(job("app", *APPS, "gone:1", relabel_configs=(DROP,)))
    mine, others = len(MINE), 10 - len(MINE)
    assert 0 < mine < 10
    text = read(parts, "/targets")
    assert f"Shard 0/3, counted from 0: {mine} of 10 targets." in text
    assert f"app {mine} of {mine} up 11 discovered, 1 dropped, {others} on other shards" in text
    found = read(parts, "/service-discovery")
    assert f"1 dropped, {others} on other shards" in found
    assert "scraped by shard" not in found, "the targets of others do not hide the own ones"
    data = get(parts, "/api/v1/targets").json()["data"]
    assert data["droppedTargetCounts"] == {"app": 1 + others}
    assert [d["discoveredLabels"]["__address__"] for d in data["droppedTargets"]] == ["gone:1"]


def test_a_target_of_another_shard_is_found_with_the_shard_that_has_it() -> None:
    parts = sharded(job("app", *APPS))
    lost = next(a for a in APPS if a not in MINE)
    (owner,) = ScrapeSharding(0, 3).owners(Labels({"__address__": lost}))
    for params in ({"text": lost}, {"fate": "elsewhere"}):
        assert f"on other shards scraped by shard {owner}" in read(parts, "/service-discovery", **params)
    assert "scraped by shard" not in read(parts, "/service-discovery", fate="dropped")
    assert "scraped by shard" not in read(parts, "/service-discovery", text=MINE[0])


def test_a_job_whose_targets_others_have_is_no_job_without_targets() -> None:
    lost = next(a for a in APPS if a not in MINE)
    assert "no targets: other shards have all" in read(sharded(job("app", lost)), "/targets")
