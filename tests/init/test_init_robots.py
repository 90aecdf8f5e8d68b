"""`rulepush init nacos` with robots, several servers and without an Alertmanager: what it writes, says and refuses."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from rulepush.__main__ import main
from rulepush.cli.init_shared import Reachable, SharedOptions, reachable
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.init.addresses import AddressError
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from rulepush.relay.settings import Language
from tests.init.robot_urls import DINGTALK_TOKEN, DINGTALK_URL, FEISHU_URL, ROBOT_SECRET
from tests.livecheck.servers import Reply, serving


def _reply(path: str) -> Reply:
    if path == METRICS_PATH:
        return 200, "text/plain;version=0.0.4", FakeNacos("2.4.3").body(SystemClock().now())
    if path == "/api/v2/status":
        return 200, "application/json", json.dumps({"cluster": {}, "versionInfo": {"version": "0.33.1"}}).encode()
    return 404, "application/json", b"{}"


def _dead() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def _init(tmp_path: Path, *words: str, url: str = "http://10.0.0.5:9095") -> int:
    external = ["--external-url", url] if url else []
    return main(["init", "nacos", "--dir", str(tmp_path / "out"), *external, *words])


def test_one_dead_server_of_three_is_a_warning_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = _dead()
    with serving(_reply) as one, serving(_reply) as two:
        assert (
            _init(tmp_path, "--server", f"{one}, {dead}", f",{two}", "--alertmanager", f"http://{one}/api/v2/alerts")
            == 0
        )
    said = capsys.readouterr()
    assert said.err.count("warning:") == 1
    assert f"warning: Nacos at http://{dead}/nacos gives no metrics yet: connection refused" in said.err
    assert said.out.count("Nacos at") == 2
    assert f"Alertmanager at http://{one}: ready" in said.out
    (job, _) = load_config(str(tmp_path / "out" / "prometheus.yml")).scrape_configs
    assert job.job_name == "nacos"
    document = yaml.safe_load((tmp_path / "out" / "prometheus.yml").read_text())
    assert document["scrape_configs"][0]["static_configs"] == [{"targets": [one, dead, two]}]


def test_robots_are_written_and_their_tokens_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_reply) as nacos:
        words = [
            "--server",
            nacos,
            "--dingtalk",
            DINGTALK_URL,
            "--secret",
            ROBOT_SECRET,
            "--feishu",
            FEISHU_URL,
            "--keyword",
            "告警: 1",
        ]
        assert _init(tmp_path, *words, "--lang", "zh") == 0
    out = tmp_path / "out"
    targets = yaml.safe_load((out / "dingtalk.yml").read_text(encoding="utf-8"))["targets"]
    assert targets["dingtalk"] == {"type": "dingtalk", "url": DINGTALK_URL, "secret": ROBOT_SECRET}
    assert targets["feishu"] == {"type": "feishu", "url": FEISHU_URL, "keyword": "告警: 1"}
    assert (out / "dingtalk.yml").stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr()
    for secret in (DINGTALK_TOKEN, ROBOT_SECRET, FEISHU_URL.rpartition("/")[2]):
        assert secret not in said.out + said.err
        assert [p.name for p in out.rglob("*") if p.is_file() and secret in p.read_text()] == ["dingtalk.yml"]
    assert "rulepush dingtalk --config.file=dingtalk.yml" in said.out
    assert "rulepush test delivery --config.file=prometheus.yml --relay=http://127.0.0.1:8060" in said.out


def test_a_wrong_robot_ends_it_before_anything_is_asked_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _init(tmp_path, "--server", "nacos.invalid", "--dingtalk", FEISHU_URL) == 1
    said = capsys.readouterr()
    assert said.err.startswith("rulepush: --dingtalk: open.feishu.cn ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "out").exists()


def test_without_an_address_for_phones_it_is_guessed_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(_reply) as nacos:
        assert _init(tmp_path, "--server", nacos, "--dingtalk", DINGTALK_URL, url="") == 0
    said = capsys.readouterr()
    services = yaml.safe_load((tmp_path / "out" / "compose.yaml").read_text())["services"]
    (flag,) = (word for word in services["rulepush"]["command"] if word.startswith("--web.external-url="))
    url = flag.partition("=")[2]
    assert f"lead to {url}: a guess" in said.out
    assert "--external-url" in said.out
    assert url.endswith(":9095")


def test_an_address_that_no_phone_opens_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_reply) as nacos:
        assert _init(tmp_path, "--server", nacos, url="http://localhost:9095") == 0
    assert "http://localhost:9095 is this machine alone: no phone can open it" in capsys.readouterr().err


NOTHING = SharedOptions((), (), "", Language.EN)


def test_on_a_terminal_the_address_is_asked_for_with_the_guess_as_its_default() -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return ""

    place = reachable(NOTHING, ["127.0.0.1"], ask)
    guess = reachable(NOTHING, ["127.0.0.1"], None)
    assert guess.guessed
    assert place == Reachable(guess.external_url, guess.machine), "what a person agreed to is no guess"
    assert guess.external_url in asked[0]


def test_what_is_answered_is_taken_and_the_end_of_the_input_is_agreement() -> None:
    assert reachable(NOTHING, [], lambda _: "10.1.1.1") == Reachable("http://10.1.1.1:9095", "10.1.1.1")
    with pytest.raises(AddressError):
        reachable(NOTHING, [], lambda _: "http://x:y")

    def ended(question: str) -> str:
        raise EOFError

    assert reachable(NOTHING, [], ended).external_url == reachable(NOTHING, [], None).external_url


def test_what_was_given_is_not_asked_for_and_a_proxys_host_is_not_this_machine() -> None:
    def never(question: str) -> str:
        raise AssertionError(question)

    given = SharedOptions((), (), "https://alerts.example.com", Language.EN)
    place = reachable(given, [], never)
    assert place.external_url == "https://alerts.example.com"
    assert place.machine == reachable(NOTHING, [], None).machine


@pytest.mark.parametrize(("locale", "language"), [("zh_CN.UTF-8", "zh"), ("en_US.UTF-8", "en"), ("", "en")])
def test_the_language_is_that_of_the_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str, language: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.delenv("LANG", raising=False)
    assert _init(tmp_path, "--server", _dead(), "--dingtalk", DINGTALK_URL) == 0
    assert yaml.safe_load((tmp_path / "out" / "dingtalk.yml").read_text(encoding="utf-8"))["lang"] == language


def test_without_an_answer_all_packs_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _init(tmp_path, "--server", _dead()) == 0
    assert sorted(p.stem for p in (tmp_path / "out" / "rules").iterdir()) == ["jvm", "nacos", "self", "spring-boot"]
    assert "nobody is told of alerts yet" in capsys.readouterr().out


def test_what_a_server_says_of_itself_is_no_sequence_for_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member = {"ip": "10.0.0.1\x1b[31m", "port": 8848, "state": "UP", "address": "10.0.0.1:8848"}

    def reply(path: str) -> Reply:
        if path.endswith("/v1/core/cluster/nodes"):
            return 200, "application/json", json.dumps({"code": 200, "data": [member, {**member, "port": 1}]}).encode()
        if path.endswith("/v1/console/server/state"):
            return 200, "application/json", json.dumps({"version": "2.4.3\x1b]0;x"}).encode()
        return _reply(path)

    with serving(reply) as nacos:
        assert _init(tmp_path, "--server", nacos) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\\x1b" in said.out, "it was there to be shown"
    document = yaml.safe_load((tmp_path / "out" / "prometheus.yml").read_text())
    assert document["scrape_configs"][0]["static_configs"] == [{"targets": [nacos]}], "that is no address"


@pytest.mark.parametrize("program", ["alertmanager", "prometheus-alertmanager"])
def test_the_commands_name_alertmanager_as_this_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / program).touch(0o755)
    monkeypatch.setenv("PATH", str(programs))
    assert _init(tmp_path, "--server", _dead(), "--dingtalk", DINGTALK_URL) == 0
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"\n{program} --config.file=alertmanager.yml" in readme
    assert f"  {program} --config.file=alertmanager.yml" in capsys.readouterr().out
    assert ("Debian" in readme) is (program == "alertmanager")
