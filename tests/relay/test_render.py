"""Messages as people read them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rulepush.relay.notification import Notification
from rulepush.relay.render import MAX_PARTS, render_digest, render_notification
from rulepush.relay.senders import SENDERS, Message, Sender
from rulepush.relay.settings import NO_MENTION, Mention, RobotTarget
from tests.relay.fake_robot import NOW, URL, alert, load, notification


def _target(tmp_path: Path, more: str = "") -> tuple[RobotTarget, Sender]:
    target = load(tmp_path, f"targets:\n  a:\n    url: {URL}\n{more}").targets["a"]
    return target, SENDERS[target.type](target.url, target.secret)


def _one(tmp_path: Path, more: str = "", **fields: Any) -> Message:
    target, sender = _target(tmp_path, more)
    alerts = [
        alert(annotations={"summary": "Nacos is down", "description": "no answer\nfor 5m", "runbook_url": "http://rb"}),
        alert(instance="10.0.0.2:8848", resolved=True),
    ]
    (message,) = render_notification(target, sender, notification(alerts, **fields), NOW)
    return message


def test_the_default_message_in_english(tmp_path: Path) -> None:
    message = _one(tmp_path)
    assert message.title == "[FIRING:1][RESOLVED:1] NacosDown"
    assert message.text == (
        "### NacosDown\n\n"
        "#### 🔥 Firing (1)\n\n"
        "**Nacos is down** (critical)  \n"
        "no answer  \nfor 5m  \n"
        "> alertname=NacosDown, instance=10.0.0.1:8848  \n"
        "> since 2023-11-14 22:08:20 +00:00, lasted 5m  \n"
        "> [graph](http://rulepush:9095/graph?g0.expr=up&g0.tab=1) [runbook](http://rb)   \n\n\n"
        "#### ✅ Resolved (1)\n\n"
        "**10.0.0.2:8848 is down** (critical)  \n"
        "> alertname=NacosDown, instance=10.0.0.2:8848  \n"
        "> since 2023-11-14 22:08:20 +00:00, until 2023-11-14 22:12:20 +00:00, lasted 4m  \n"
        "> [graph](http://rulepush:9095/graph?g0.expr=up&g0.tab=1)   \n\n\n"
        "[Open Alertmanager](http://alertmanager:9093/#/alerts?receiver=dingtalk)"
    )


def test_the_default_message_in_chinese(tmp_path: Path) -> None:
    message = _one(tmp_path, "    lang: zh\n", truncatedAlerts=3)
    assert message.title == "【告警 1】【恢复 1】 NacosDown"
    assert "#### 🔥 告警中 (1)" in message.text
    assert "开始 2023-11-15 06:08:20 +08:00, 持续 5分钟" in message.text
    assert "结束 2023-11-15 06:12:20 +08:00, 持续 4分钟" in message.text
    assert "[查看图表](http://rulepush:9095/graph?g0.expr=up&g0.tab=1) [处理手册](http://rb)" in message.text
    assert "Alertmanager 省略的告警数：3" in message.text


def test_the_annotations_of_the_packs_are_shown(tmp_path: Path) -> None:
    annotations = {
        "summary": "Nacos n1 does not answer",
        "description": "It has failed.",
        "runbook": "Look at logs/start.out.",
        "summary_zh": "Nacos n1 无响应",
        "description_zh": "已连续失败。",
        "runbook_zh": "查看 logs/start.out。",
    }
    texts = {}
    for lang in ("en", "zh"):
        for resolved in (False, True):
            target, sender = _target(tmp_path, f"    lang: {lang}\n")
            group = notification([alert(annotations=annotations, resolved=resolved)])
            (message,) = render_notification(target, sender, group, NOW)
            texts[lang, resolved] = message.text
    assert (
        "**Nacos n1 does not answer** (critical)  \nIt has failed.  \nRunbook: Look at logs/start.out.  \n"
        in (texts["en", False])
    )
    assert "**Nacos n1 无响应** (critical)  \n已连续失败。  \n处理：查看 logs/start.out。  \n" in texts["zh", False]
    assert "查看" not in texts["en", False]
    assert "start.out" not in texts["en", True] + texts["zh", True], "nothing is to be done any more"


def test_the_names_of_the_original_still_work(tmp_path: Path) -> None:
    message = _one(
        tmp_path,
        "    mention: {mobiles: ['138']}\n    message:\n"
        "      title: '{{ template \"legacy.title\" . }}'\n      text: '{{ template \"legacy.content\" . }}'\n",
    )
    assert message.title == "[FIRING:1] NacosDown (critical)"
    heading = r"#### \[FIRING:1\] **[NacosDown](http://alertmanager:9093/#/alerts?receiver=dingtalk)**"
    assert message.text.startswith(heading)
    assert "> - instance: 10.0.0.1:8848" in message.text
    assert message.text.endswith("@138")


@pytest.mark.parametrize(
    "name", ["__subject", "__alertmanagerURL", "legacy.title", "legacy.content", "default.content"]
)
def test_every_name_of_the_original_is_there(tmp_path: Path, name: str) -> None:
    assert _one(tmp_path, f"    message: {{text: '{{{{ template \"{name}\" . }}}}'}}\n").text


def test_markdown_in_values_is_only_text(tmp_path: Path) -> None:
    target, sender = _target(tmp_path)
    (message,) = render_notification(target, sender, notification([alert(annotations={"summary": "*a*_b_`c`"})]), NOW)
    assert r"**\*a\*\_b\_\`c\`**" in message.text


def test_a_value_cannot_call_people_in_feishu(tmp_path: Path) -> None:
    target, sender = _target(tmp_path, "    type: feishu\n")
    (message,) = render_notification(
        target, sender, notification([alert(annotations={"summary": "<at id=all></at>"})]), NOW
    )
    assert "<at" not in message.text


def test_a_large_notification_is_split_between_alerts(tmp_path: Path) -> None:
    target, sender = _target(tmp_path, "    mention: {mobiles: ['13800000000'], all: true}\n")
    instances = [f"10.0.{i // 250}.{i % 250}:8848" for i in range(200)]
    alerts = [alert(instance=i, resolved=n % 2 == 1) for n, i in enumerate(instances)]
    messages = render_notification(target, sender, notification(alerts), NOW)
    assert 2 <= len(messages) <= 5
    text = "".join(m.text for m in messages)
    for instance in instances:
        assert text.count(f"**{instance} is down**") == 1
    for number, message in enumerate(messages, 1):
        assert sender.fits(message)
        mark = f"({number}/{len(messages)})"
        assert message.title == f"[FIRING:100][RESOLVED:100] NacosDown {mark}"
        assert message.text.startswith(mark)
        assert len(sender.request(sender.bodies(message)[0], NOW).content) <= 20_000
    assert [bool(m.mention) for m in messages] == [False] * (len(messages) - 1) + [True]


def test_a_huge_notification_ends_with_a_list(tmp_path: Path) -> None:
    target, sender = _target(tmp_path)
    messages = render_notification(
        target, sender, notification([alert(instance=f"host-{i}") for i in range(3000)]), NOW
    )
    assert len(messages) == MAX_PARTS
    assert "🔥 NacosDown: host-" in messages[-1].text
    assert messages[-1].text.rstrip().split("\n")[-1].startswith("… and ")


def test_one_alert_that_is_too_large_is_cut(tmp_path: Path) -> None:
    target, sender = _target(tmp_path)
    (message,) = render_notification(
        target, sender, notification([alert(annotations={"description": "长" * 20_000})]), NOW
    )
    assert sender.fits(message)
    assert message.text.endswith("…")


def test_a_template_that_fails_gives_the_built_in_message(tmp_path: Path) -> None:
    message = _one(tmp_path, "    message: {text: '{{ .Nope }}', title: '{{ template \"nope\" }}'}\n")
    assert message.title == "[FIRING:1][RESOLVED:1] NacosDown"
    assert "#### 🔥 Firing (1)" in message.text


def test_a_keyword_is_added_where_it_is_missing(tmp_path: Path) -> None:
    target, sender = _target(tmp_path, "    keyword: prod-alerts\n")
    alerts = [alert(annotations={"description": "长" * 20_000})]
    (message,) = render_notification(target, sender, notification(alerts), NOW)
    assert message.text.endswith("prod-alerts")
    assert sender.fits(message)
    digest = render_digest(target, sender, [notification(alerts)] * 3, NO_MENTION, NOW, NOW + 1)
    assert digest.text.endswith("prod-alerts")
    assert not _one(tmp_path, "    keyword: NacosDown\n").text.endswith("NacosDown")


def test_a_digest_tells_of_every_alert_firing_ones_first(tmp_path: Path) -> None:
    target, sender = _target(tmp_path)
    waiting = [notification([alert("A", "x", resolved=True), alert("B", "y")]), notification([alert("C", "z")], "C")]
    digest = render_digest(target, sender, waiting, Mention(everyone=True), NOW - 12_000, NOW)
    assert digest.title == "[DIGEST] 2 notifications: 2 firing, 1 resolved"
    assert digest.text == (
        "Too many messages for the robot's limit: these waited 12s and are sent as one.\n\n"
        "🔥 B: y is down\n\n🔥 C: z is down\n\n✅ A: x is down"
    )
    assert digest.mention.everyone


def test_a_digest_of_thousands_fits_and_says_how_many_it_left_out(tmp_path: Path) -> None:
    for kind in ("dingtalk", "feishu", "wecom"):
        target, sender = _target(tmp_path, f"    type: {kind}\n    lang: zh\n")
        waiting = [notification([alert("A", f"host-{i}") for i in range(3000)])]
        digest = render_digest(target, sender, waiting, NO_MENTION, NOW, NOW)
        assert sender.fits(digest)
        shown = digest.text.count("🔥")
        assert f"……另有 {3000 - shown} 条" in digest.text
        assert shown > 50


def _calls(work: Callable[[], object]) -> int:
    """How many Python functions `work` calls: a measure of work that no other process changes."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def test_the_work_of_a_notification_grows_with_its_alerts_and_not_with_their_square(tmp_path: Path) -> None:
    target, sender = _target(tmp_path)
    few, many = (notification([alert(instance=f"host-{i}") for i in range(n)]) for n in (200, 800))
    render_notification(target, sender, few, NOW)  # what is made once
    work = [_calls(partial(render_notification, target, sender, n, NOW)) for n in (few, many)]
    assert work[1] < 8 * work[0]  # four times the alerts, and parts that are tried by halves; a square would be 16


HOSTILE = "**b** `c` [t](http://e.vil) ![i](http://e.vil) <font color=x>f</font> <@all>"
_STYLED = re.compile(r"(?<!\\)\*\*b|(?<!\\)`|[^\\]\]\(http://e|<font|<@")


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_labels_in_the_heading_are_no_markup(tmp_path: Path, kind: str) -> None:
    target, sender = _target(tmp_path, f"    type: {kind}\n")
    group = notification([alert(HOSTILE, "x", annotations={})], HOSTILE)
    (message,) = render_notification(target, sender, group, NOW)
    body = sender.bodies(message)[0]["markdown"]
    heading = str(body.get("text", body.get("content"))).partition("\n")[0]
    assert heading.startswith("### ")
    assert "b" in heading
    assert _STYLED.search(heading) is None


@pytest.mark.parametrize("kind", ["dingtalk", "feishu", "wecom"])
def test_a_digest_shows_no_markup_of_alerts(tmp_path: Path, kind: str) -> None:
    target, sender = _target(tmp_path, f"    type: {kind}\n")
    group = notification([alert(HOSTILE, annotations={"summary": f"# {HOSTILE}\n# head"})])
    digest = render_digest(target, sender, [group, group], NO_MENTION, NOW, NOW)
    assert digest.text.count("🔥") == 2
    assert _STYLED.search(digest.text) is None


@pytest.mark.parametrize("template", ["v2", "legacy"])
def test_the_name_of_an_alert_in_the_old_looks_is_no_markup(tmp_path: Path, template: str) -> None:
    message = _one_of(tmp_path, template, notification([alert("**b** `c`", "x", annotations={})], "**b** `c`"))
    assert r"**[\*\*b\*\* \`c\`](http://alertmanager:9093/" in message.text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "[x](http://e.vil)", "data:text/html,x"])
def test_an_external_url_that_is_no_web_page_is_no_link(tmp_path: Path, url: str) -> None:
    assert url not in _one(tmp_path, externalURL=url).text
    assert "Open Alertmanager" not in _one(tmp_path, externalURL=url).text
    assert "(http://am/a%29%28b/#/alerts?" in _one(tmp_path, externalURL="http://am/a)(b").text


def _one_of(tmp_path: Path, template: str, group: Notification) -> Message:
    names = {"title": f'{{{{ template "{template}.title" . }}}}', "text": f'{{{{ template "{template}.content" . }}}}'}
    target, sender = _target(tmp_path, f"    message: {json.dumps(names)}\n")
    (message,) = render_notification(target, sender, group, NOW)
    return message
