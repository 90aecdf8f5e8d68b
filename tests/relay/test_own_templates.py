"""Templates that users bring from prometheus-webhook-dingtalk. Its behaviour: timonwong/prometheus-webhook-dingtalk
v2.1.0, config/config.go, notifier/notification.go and template/default.tmpl."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from rulepush.relay.render import render_notification
from rulepush.relay.senders import SENDERS, Message
from tests.relay.fake_robot import NOW, URL, alert, load, notification


def _messages(tmp_path: Path, config: str, alerts: list[dict[str, Any]] | None = None, more: str = "") -> list[Message]:
    target = load(tmp_path, f"{config}\ntargets:\n  a:\n    url: {URL}\n{more}").targets["a"]
    sender = SENDERS[target.type](target.url, target.secret)
    return render_notification(target, sender, notification(alerts or [alert()]), NOW)


def _one(tmp_path: Path, template: str, config: str = "templates: [a.tmpl]", **more: Any) -> Message:
    (tmp_path / "a.tmpl").write_text(template, encoding="utf-8")
    (message,) = _messages(tmp_path, config, **more)
    return message


def _text(tmp_path: Path, text: str, alerts: list[dict[str, Any]] | None = None, more: str = "") -> str:
    return _one(tmp_path, '{{ define "ding.link.content" }}' + text + "{{ end }}", alerts=alerts, more=more).text


def test_a_file_that_defines_only_ding_link_is_shown(tmp_path: Path) -> None:
    message = _one(
        tmp_path, '{{ define "ding.link.title" }}T{{ end }}{{ define "ding.link.content" }}C{{ .Status }}{{ end }}'
    )
    assert (message.title, message.text) == ("T", "Cfiring")


@pytest.mark.parametrize("key", ["template: a.tmpl", "templates: [a.tmpl]", "templates: ['*.tmpl']"])
def test_the_file_may_be_named_in_the_singular(tmp_path: Path, key: str) -> None:
    assert _one(tmp_path, '{{ define "ding.link.content" }}mine{{ end }}', key).text == "mine"


def test_a_message_with_only_text_keeps_the_title_of_ding_link(tmp_path: Path) -> None:
    template = '{{ define "ding.link.title" }}T{{ end }}'
    config = "templates: [a.tmpl]\ndefault_message: {title: other, text: other}"
    message = _one(tmp_path, template, config, more="    message: {text: mine}\n")
    assert (message.title, message.text) == ("T", "mine")


def test_overriding_the_list_of_alerts_is_honoured_in_the_frame_it_was_made_for(tmp_path: Path) -> None:
    text = _one(tmp_path, '{{ define "default.__text_alert_list" }}{{ range . }}<mine>{{ end }}{{ end }}').text
    assert text.startswith(r"#### \[FIRING:1\] **[NacosDown](")
    assert "**Alerts Firing**\n<mine>" in text


def test_overriding_the_subject_is_honoured_in_the_title(tmp_path: Path) -> None:
    assert _one(tmp_path, '{{ define "__subject" }}mine{{ end }}').title == "mine"


def test_the_look_of_version_2_has_a_name(tmp_path: Path) -> None:
    config = "default_message: {title: '{{ template \"v2.title\" . }}', text: '{{ template \"v2.content\" . }}'}"
    (message,) = _messages(tmp_path, config, [alert(resolved=True)])
    assert message.title == "[RESOLVED] NacosDown (critical)"
    assert "**Alerts Resolved**" in message.text
    assert "> - instance: 10.0.0.1:8848" in message.text


def test_the_legacy_look_lists_resolved_alerts(tmp_path: Path) -> None:
    config = "default_message: {text: '{{ template \"legacy.content\" . }}'}"
    (message,) = _messages(tmp_path, config, [alert(resolved=True)])
    assert message.text.startswith(r"#### \[RESOLVED\] **[NacosDown](")
    assert "> - instance: 10.0.0.1:8848" in message.text


def test_a_template_that_nothing_leads_to_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.tmpl").write_text('{{ define "dingtalk.content" }}x{{ end }}{{ define "__subject" }}y{{ end }}')
    with caplog.at_level(logging.WARNING):
        load(tmp_path, f"templates: [a.tmpl]\ntargets:\n  a: {{url: '{URL}'}}\n")
    (record,) = caplog.records
    assert "a.tmpl: template 'dingtalk.content' is defined and never used" in record.getMessage()


def test_a_template_may_ask_for_any_alert_of_the_group(tmp_path: Path) -> None:
    alerts = [alert(instance=f"10.0.0.{i}:8848") for i in range(1, 4)]
    assert _text(tmp_path, "{{ (index .Alerts 1).Labels.instance }} of {{ len .Alerts }}", alerts) == (
        "10.0.0.2:8848 of 3"
    )


START = {"startsAt": "2023-11-15T06:08:20.5+08:00"}


@pytest.mark.parametrize(
    ("zone", "template", "expected"),
    [
        # Outputs of Go 1.19 with sprig 3.2.3 under TZ=<zone>.
        ("America/New_York", '{{ .StartsAt.Format "15:04:05 -0700 MST" }}', "06:08:20 +0800 +0800"),
        ("America/New_York", '{{ .StartsAt | date "2006-01-02 15:04 MST" }}', "2023-11-14 17:08 EST"),
        ("America/New_York", "{{ .StartsAt.Local }}", "2023-11-14 17:08:20.5 -0500 EST"),
        ("America/New_York", "{{ .StartsAt.UTC }}", "2023-11-14 22:08:20.5 +0000 UTC"),
        ("America/New_York", "{{ .StartsAt.In .StartsAt.Local.Location }}", "2023-11-14 17:08:20.5 -0500 EST"),
        ("Asia/Shanghai", "{{ .StartsAt }}", "2023-11-15 06:08:20.5 +0800 CST"),
        ("Asia/Shanghai", '{{ (.StartsAt.Add 28800e9).Format "15:04:05" }}', "14:08:20"),
        ("Asia/Shanghai", '{{ dateInZone "15:04 MST" .StartsAt "Europe/Berlin" }}', "23:08 CET"),
        ("Asia/Shanghai", '{{ toDate "2006-01-02" "2023-11-15" }}', "2023-11-15 00:00:00 +0800 CST"),
        ("Asia/Shanghai", "{{ htmlDate .EndsAt.UTC }}", "0001-01-01"),
    ],
)
@pytest.mark.parametrize("how", ["time_zone", "TZ"])
def test_times_are_in_the_offset_of_the_payload_or_in_the_zone_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, zone: str, template: str, expected: str
) -> None:
    monkeypatch.setenv("TZ", zone if how == "TZ" else "Pacific/Auckland")
    more = f"    time_zone: {zone}\n" if how == "time_zone" else ""
    text = "{{ range .Alerts }}" + template + "{{ end }}"
    assert _text(tmp_path, text, [alert() | START], more) == expected


def test_the_zero_end_of_a_firing_alert_is_shown_west_of_greenwich_too(tmp_path: Path) -> None:
    text = '{{ range .Alerts }}{{ .EndsAt | date "2006" }}{{ end }}'
    assert _text(tmp_path, text, None, "    time_zone: America/New_York\n")


HOSTILE = "x\n# big\n![i](http://evil/p.png)[click](javascript:alert(1)) <@all> <font color=red>"


@pytest.mark.parametrize("robot", ["dingtalk", "feishu", "wecom"])
@pytest.mark.parametrize("name", ["default.content", "v2.content", "legacy.content"])
def test_no_value_becomes_markup(tmp_path: Path, robot: str, name: str) -> None:
    hostile = alert(labels={"path": HOSTILE, "severity": "[s](http://evil)"}, annotations={"summary": HOSTILE})
    more = f"    type: {robot}\n    message: {{text: '{{{{ template \"{name}\" . }}}}'}}\n"
    (message,) = _messages(tmp_path, "", [hostile], more)
    assert "](http://evil" not in message.text
    assert "](javascript:" not in message.text
    assert "\n# big" not in message.text
    assert "<@all>" not in message.text
    assert "<font" not in message.text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://p/graph?g0.expr=a)b(c", "[g](http://p/graph?g0.expr=a%29b%28c)"),
        ("javascript:alert(1)", "[g]()"),
        (" JavaScript:alert(1)", "[g]()"),
        ("http://[::1]:9090/x?a=b_c", "[g](http://[::1]:9090/x?a=b_c)"),
        ("https://p/x](http://evil) y", "[g](https://p/x%5D%28http://evil%29%20y)"),
    ],
)
def test_a_generator_url_stays_inside_its_link(tmp_path: Path, url: str, shown: str) -> None:
    text = "{{ range .Alerts }}[g]({{ .GeneratorURL }}){{ end }}"
    assert _text(tmp_path, text, [alert() | {"generatorURL": url}]) == shown


def test_labels_in_own_templates_cannot_start_markup_and_ordinary_ones_are_untouched(tmp_path: Path) -> None:
    text = "{{ range .Alerts }}{{ .Labels.a }}|{{ .Labels.b }}{{ end }}"
    shown = _text(tmp_path, text, [alert(labels={"a": "node_exporter *[::]:9* {x} a(b)", "b": HOSTILE})])
    ordinary, _, hostile = shown.partition("|")
    assert ordinary == "node_exporter *[::]:9* {x} a(b)"
    assert "](" not in hostile
    assert "\n" not in hostile


def test_markup_that_a_rule_author_wrote_into_an_annotation_stays_but_for_scripts(tmp_path: Path) -> None:
    annotations = {"a": "**b** [logs](https://k/x)", "b": "[x](javascript:alert(1))"}
    text = "{{ range .Alerts }}{{ .Annotations.a }}|{{ .Annotations.b }}{{ end }}"
    first, _, second = _text(tmp_path, text, [alert(annotations=annotations)]).partition("|")
    assert first == "**b** [logs](https://k/x)"
    assert "](javascript" not in second


@pytest.mark.parametrize(
    ("robot", "expected"), [("dingtalk", r"\[a\_b\]"), ("feishu", "&#91;a&#95;b&#93;"), ("wecom", "［a_b］")]
)
def test_markdown_escapes_for_the_robot_of_the_target(tmp_path: Path, robot: str, expected: str) -> None:
    assert _text(tmp_path, '{{ "[a_b]" | markdown }}', None, f"    type: {robot}\n") == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ until 100000000 }}",
        "{{ $l := until 1000 }}{{ range 60 }}{{ $l = concat $l $l }}{{ end }}",
        '{{ $s := repeat 50000 "ab" }}{{ replace "" $s $s }}',
        '{{ $s := repeat 50000 "ab" }}{{ wrapWith 1 $s $s }}',
        "{{ $a := list 1 }}{{ range 60 }}{{ $a = list $a $a }}{{ end }}{{ toJson $a | len }}{{ mustToJson $a }}",
        '{{ $d := dict }}{{ $x := set $d "a" $d }}{{ mustToJson $d }}',
        '{{ $d := dict }}{{ $x := set $d "a" $d }}{{ deepCopy $d | toString }}',
        "{{ $l := until 50000 }}{{ range 5000000 }}{{ $x := reverse $l }}{{ end }}",
        '{{ set .CommonLabels "a" "b" }}',
    ],
)
def test_a_runaway_function_ends_in_the_built_in_message(tmp_path: Path, text: str) -> None:
    assert "NacosDown" in _text(tmp_path, text)
