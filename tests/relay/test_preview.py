"""`rulepush dingtalk --render`: what a target's templates make of a payload, and what is said of one that is none."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rulepush.__main__ import main
from tests.relay.fake_robot import alert, body

TOKEN = "c4na7y" * 8
SECRET = "SECc4na7y5ecre7"
DINGTALK = f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}"
FEISHU = f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}"


def _config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "dingtalk.yml"
    file.write_text(text, encoding="utf-8")
    return file


def _render(tmp_path: Path, config: str, payload: bytes, *flags: str) -> int:
    file = tmp_path / "payload.json"
    file.write_bytes(payload)
    return main(["dingtalk", f"--config.file={_config(tmp_path, config)}", "--render", str(file), *flags])


def _bodies(shown: str) -> list[Any]:
    """The JSON objects in what was printed, each of which begins a line."""
    blocks = [block.partition("\n")[2] for block in shown.split("\nPOST ")[1:]]
    return [json.JSONDecoder().raw_decode(block)[0] for block in blocks]


def test_title_text_and_request_are_shown_without_token_and_signature(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = f"targets:\n  ops: {{url: '{DINGTALK}', secret: {SECRET}, mention: {{mobiles: ['138']}}}}\n"
    assert _render(tmp_path, config, body([alert()])) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("target ops: 1 message to a DingTalk robot\n\n=== message 1 of 1\n")
    assert "title: [FIRING:1] NacosDown\ntext:\n### NacosDown\n\n#### 🔥 Firing (1)\n" in shown.out
    url = shown.out.partition("POST ")[2].partition(" (")[0]
    assert url.startswith("https://oapi.dingtalk.com/robot/send?access_token=<secret>&timestamp=1")
    assert url.endswith("&sign=<secret>")
    [posted] = _bodies(shown.out)
    assert posted["at"]["atMobiles"] == ["138"]
    assert posted["markdown"]["text"].endswith("\n\n@138")
    assert TOKEN not in shown.out
    assert SECRET not in shown.out


def test_the_signature_in_a_feishu_body_and_the_token_in_its_path_are_hidden(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for url in (FEISHU, FEISHU + "/", f"http://user:{TOKEN}@relay.test/{TOKEN}?x={TOKEN}"):
        config = f"targets:\n  ops: {{url: '{url}', type: feishu, secret: {SECRET}}}\n"
        assert _render(tmp_path, config, body([alert()])) == 0
        shown = capfd.readouterr().out
        assert _bodies(shown)[0]["sign"] == "<secret>"
        assert TOKEN not in shown
        assert SECRET not in shown


def test_the_parts_of_a_long_notification_are_shown_one_by_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts = [alert(instance=f"10.0.0.{i}:8848", annotations={"description": "x" * 500}) for i in range(60)]
    assert _render(tmp_path, f"targets:\n  ops: {{url: '{DINGTALK}'}}\n", body(alerts)) == 0
    shown = capfd.readouterr().out
    total = len(_bodies(shown))
    assert total > 1
    assert shown.startswith(f"target ops: {total} messages to ")
    assert f"=== message {total} of {total}\ntitle: [FIRING:60] NacosDown ({total}/{total})\n" in shown


def test_standard_input_is_read_for_a_dash(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(tmp_path, f"targets:\n  ops: {{url: '{DINGTALK}', lang: zh}}\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(body([alert()]))))
    assert main(["dingtalk", f"--config.file={config}", "--render", "-"]) == 0
    assert "title: 【告警 1】 NacosDown\n" in capfd.readouterr().out
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"alerts":\n [}')))
    assert main(["dingtalk", f"--config.file={config}", "--render", "-"]) == 1
    assert capfd.readouterr().err == "standard input:2: not JSON: Expecting value (column 3)\n"


TWO = f"targets:\n  ops: {{url: '{DINGTALK}'}}\n  dev: {{url: '{DINGTALK}', lang: zh}}\n"


def test_of_several_targets_one_is_to_be_chosen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert _render(tmp_path, TWO, body([alert()])) == 1
    assert "choose one by --target: " in (shown := capfd.readouterr().err)
    assert shown.endswith("dingtalk.yml has ops, dev\n")
    assert _render(tmp_path, TWO, body([alert()]), "--target", "dve") == 1
    assert "no target 'dve' (did you mean dev?)" in capfd.readouterr().err
    assert _render(tmp_path, TWO, body([alert()]), "--target", "dev") == 0
    assert "【告警 1】" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        main(["dingtalk", "--target", "ops"])
    assert "--target needs --render" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"", ": is empty: expected what Alertmanager posts"),
        (b'{"alerts": [\n{"a": 1,}]}', ":2: not JSON: "),
        (b'"text"', ": this is no JSON object; expected"),
        (b"[1]", ": this is a list; expected"),
        (b'[{"labels": {"alertname": "x"}}]', ": this is a list of alerts, as Prometheus posts it"),
        (b'{"status": "success", "data": {"alerts": []}}', ": this is an answer of the API of Prometheus"),
        (b'{"labels": {}, "annotations": {}}', ": this is a single alert; expected"),
        (b'{"receiver": "ops"}', ': "alerts" is missing; expected'),
        (b'{"alerts": {}}', ': "alerts": expected a list'),
        (b'{"alerts": []}', ': "alerts" is empty: the relay sends no message'),
        (b'{"alerts": [{"labels": {}}]}', ": alerts[0]: status, startsAt missing"),
        (b'{"alerts": [1]}', ": alerts[0]: expected an object"),
        (b'{"alerts": [{"status": "firing", "labels": {"a": 1}, "startsAt": "x"}]}', ": labels: expected an object of"),
        (b'{"a": "\xe9"}', ": not JSON: 'utf-8' codec can't decode byte"),
    ],
)
def test_what_is_no_payload_gets_one_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], payload: bytes, shown: str
) -> None:
    # startsAt is read before the labels are; give it a time where that is not what is tried
    payload = payload.replace(b'"startsAt": "x"', b'"startsAt": "2026-01-01T00:00:00Z"')
    assert _render(tmp_path, f"targets:\n  ops: {{url: '{DINGTALK}'}}\n", payload) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(str(tmp_path / "payload.json") + shown)


def test_a_hand_written_payload_is_rendered_and_what_it_leaves_out_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    payload = json.dumps({"receiver": "r", "alerts": [alert()]}).encode()
    assert _render(tmp_path, f"targets:\n  ops: {{url: '{DINGTALK}'}}\n", payload) == 0
    said = capfd.readouterr()
    assert "title: [FIRING:1] alerts\n" in said.out
    assert "note: groupLabels, commonLabels, commonAnnotations, externalURL missing" in said.err


@pytest.mark.parametrize(
    ("message", "template", "place"),
    [
        ("{title: x, text: '{{ index .Alerts 9 }}'}", "", "dingtalk.yml:5: the text of target ops: executing"),
        ("{title: '{{ .Nope }}', text: x}", "", "dingtalk.yml:5: the title of target ops: executing"),
        (
            "{text: '{{ template \"mine\" . }}'}",
            '{{ define "mine" }}\n\n{{ .Nope }}{{ end }}',
            "mine.tmpl:3: the text of",
        ),
        ("\n      text: |\n        one\n        {{ .Nope }}\n", "", "dingtalk.yml:8: the text of target ops: "),
    ],
)
def test_a_template_that_fails_is_located_and_the_built_in_one_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], message: str, template: str, place: str
) -> None:
    (tmp_path / "mine.tmpl").write_text(template)
    config = f"templates: [mine.tmpl]\ntargets:\n  ops:\n    url: {DINGTALK}\n    message: {message}\n"
    assert _render(tmp_path, config, body([alert()])) == 1
    said = capfd.readouterr()
    assert said.err.startswith(f"{tmp_path}/{place}")
    assert said.err.count("\n") == 1
    assert "#### 🔥 Firing (1)" in said.out
