"""The configuration file: what the original takes is taken, and every mistake has its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.errors import ConfigError
from rulepush.relay.load import load_settings
from rulepush.relay.settings import Language, Mention, RobotType
from tests.relay.fake_robot import URL, load

# The example file of prometheus-webhook-dingtalk 2.1.0, as it is shipped, with its comments taken in.
ORIGINAL = """
timeout: 5s
no_builtin_template: false
templates:
  - contrib/templates/legacy/*.tmpl
default_message:
  title: '{{ template "legacy.title" . }}'
  text: '{{ template "legacy.content" . }}'
targets:
  webhook1:
    url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxxxxxx
    # secret for signature
    secret: SEC000000000000000000000
  webhook2:
    url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxxxxxx
  webhook_legacy:
    url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxxxxxx
    # Customize template content
    message:
      # Use legacy template
      title: '{{ template "legacy.title" . }}'
      text: '{{ template "legacy.content" . }}'
  webhook_mention_all:
    url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxxxxxx
    mention:
      all: true
  webhook_mention_users:
    url: https://oapi.dingtalk.com/robot/send?access_token=xxxxxxxxxxxx
    mention:
      mobiles: ['156xxxx8827', '189xxxx8325']
"""


def test_the_originals_example_loads(tmp_path: Path) -> None:
    settings = load(tmp_path, ORIGINAL)
    assert settings.timeout_ms == 5000
    assert list(settings.targets) == [
        "webhook1",
        "webhook2",
        "webhook_legacy",
        "webhook_mention_all",
        "webhook_mention_users",
    ]
    assert settings.targets["webhook1"].secret.reveal() == "SEC000000000000000000000"
    assert settings.targets["webhook_mention_all"].mention == Mention(everyone=True)
    assert settings.targets["webhook_mention_users"].mention == Mention(mobiles=("156xxxx8827", "189xxxx8325"))


def test_what_rulepush_adds(tmp_path: Path) -> None:
    text = """
lang: zh
targets:
  f:
    type: feishu
    url: https://open.feishu.cn/open-apis/bot/v2/hook/x
    lang: en
    keyword: alert
    mention: {user_ids: [ou_1]}
  w: {type: wecom, url: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k", time_zone: Europe/Berlin}
"""
    targets = load(tmp_path, text).targets
    assert (targets["f"].type, targets["f"].language, targets["f"].keyword) == (RobotType.FEISHU, Language.EN, "alert")
    assert (targets["f"].time_zone, targets["w"].time_zone) == ("UTC", "Europe/Berlin")
    assert targets["w"].language is Language.ZH


def _target(*lines: str, url: str = URL) -> str:
    return "\n".join(["targets:", "  a:", f"    url: {url}", *(f"    {line}" for line in lines), ""])


MISTAKES = [
    ("", "0: expected a mapping with `targets`"),
    ("timeout: 5s", "1: no targets: each needs a name and the url of a robot"),
    ("targets:\n  a: {secret: x}", "2: targets.a: needs a url: the webhook address of the robot"),
    ("targets:\n  a:", "2: targets: a: expected a mapping with `url`"),
    ("targets: [1", "2: not valid YAML"),
    (_target("sekret: x"), "4: targets.a: unknown key 'sekret'"),
    (_target("type: slack"), "4: targets.a.type: expected one of dingtalk, feishu, wecom, got 'slack'"),
    (_target("type: wecom", "secret: s"), "5: targets.a: secret: robots of WeCom have none"),
    (_target("message:", "  text: '{{ nope }}'"), '5: targets.a.message: text: in its line 1: function "nope" not'),
    (_target("time_zone: Mars/Base"), "4: targets.a: time_zone: unknown time zone 'Mars/Base'"),
    (_target("type: feishu", "mention:", "  mobiles: ['1']"), "6: targets.a.mention: mobiles: Feishu robots mention"),
    (_target(url="https://oapi.dingtalk.com/robot/send"), "3: targets.a: url: has no access_token"),
    (_target(url="https://open.feishu.cn/x/y"), "3: targets.a: url: is a Feishu robot's; add `type: feishu`"),
    (_target(url="https://qyapi.weixin.qq.com/x"), "3: targets.a: url: is a WeCom robot's; add `type: wecom`"),
    (_target(url="robot"), "3: targets.a.url: expected a URL that starts with http:// or https://"),
    ("timeout: soon\n" + _target(), "1: timeout: expected a duration such as 30s or 1h30m, got 'soon'"),
    ("templates: [none.tmpl]\n" + _target(), "1: templates: "),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_a_mistake_is_reported_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.file == str(tmp_path / "config.yml")
    assert f"{problem.line}: {problem.message}".startswith(expected)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "timeout: x\n" + _target("sekret: x", "type: slack"))
    assert [p.line for p in caught.value.problems] == [1, 5, 6]


def test_a_file_may_have_no_targets_yet(tmp_path: Path) -> None:
    assert load(tmp_path, "targets: {}\n").targets == {}


def test_a_mistake_in_a_template_file_has_that_files_line(tmp_path: Path) -> None:
    (tmp_path / "a.tmpl").write_text('{{ define "x" }}\n{{ .A | nope }}\n{{ end }}')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"templates: ['*.tmpl']\ntargets:\n  a: {{url: '{URL}'}}\n  b: {{url: '{URL}', lang: zh}}\n")
    assert str(caught.value) == f'{tmp_path}/a.tmpl:2: function "nope" not defined'


def test_own_templates_replace_built_in_ones(tmp_path: Path) -> None:
    (tmp_path / "a.tmpl").write_text('{{ define "default.title" }}mine{{ end }}')
    target = load(tmp_path, f"templates: [a.tmpl]\ntargets:\n  a: {{url: '{URL}'}}\n").targets["a"]
    assert target.title.execute(None) == "mine"


def test_without_the_built_in_ones_their_names_are_unknown(tmp_path: Path) -> None:
    text = f"no_builtin_template: true\ndefault_message: {{title: t, text: x}}\ntargets:\n  a: {{url: '{URL}'}}\n"
    assert "default.title" not in load(tmp_path, text).targets["a"].title.trees


def test_a_missing_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_settings(str(tmp_path / "none.yml"))


def test_secrets_do_not_show(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, ORIGINAL))
    assert "SEC0000" not in shown
    assert "xxxxxxxxxxxx" not in shown


@pytest.mark.parametrize(("text", "ms"), [("1.5s", 1500), ("1m30s", 90_000), ("1d", 86_400_000), ("500ms", 500)])
def test_a_timeout_is_a_duration_of_go_or_of_prometheus(tmp_path: Path, text: str, ms: int) -> None:
    assert load(tmp_path, f"timeout: {text}\n" + _target()).timeout_ms == ms


@pytest.mark.parametrize("flag", ["--web.ui-enabled", "--web.enable-ui"])
def test_the_flags_of_the_original_are_taken(tmp_path: Path, flag: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(_target(), encoding="utf-8")
    assert main(["dingtalk", f"--config.file={path}", flag, "--check"]) == 0


def test_the_relay_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dingtalk", "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("rulepush ")
