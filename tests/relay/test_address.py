"""What is told of a robot's address before anything is sent, and that no message tells the token."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.errors import ConfigError
from rulepush.relay.address import zone_fault
from rulepush.relay.app import RelayApp, RelayOptions
from tests.relay.fake_robot import FakeDingTalk, alert, body, load, robot_transport

TOKEN = "9f3a51c27e8b4d06" * 4
SECRET = "SEC" + "7d12e9b05c6f4a38" * 4
UUID = "693a91f6-7a8c-4bc4-97a0-0ec25f1a5a0b"
DINGTALK = "https://oapi.dingtalk.com/robot/send?access_token="
FEISHU = "https://open.feishu.cn/open-apis/bot/v2/hook/"
WECOM = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key="


def _check(tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str) -> tuple[int, str]:
    """The exit code of --check, and what it said."""
    file = tmp_path / "dingtalk.yml"
    file.write_text(text, encoding="utf-8")
    code = main(["dingtalk", "--check", f"--config.file={file}"])
    said = capfd.readouterr()
    return code, (said.out + said.err).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    "target",
    [
        f"{{url: '{DINGTALK}{TOKEN}', secret: {SECRET}}}",
        f"{{url: '{FEISHU}{UUID}', type: feishu, secret: 1oBbq8nTkeyYOUR3xyzGHe}}".replace("YOUR3", "Q7r3"),
        f"{{url: 'https://open.larksuite.com/open-apis/bot/v2/hook/{UUID}', type: feishu}}",
        f"{{url: '{WECOM}{UUID}', type: wecom}}",
        f"{{url: 'HTTPS://oapi.dingtalk.com/robot/send?access_token={TOKEN}'}}",
        f"{{url: 'http://proxy.test:8080/some/where?access_token={TOKEN}'}}",
        "{url: 'http://proxy.test:8080/dingtalk'}",
    ],
)
def test_a_real_address_is_good(tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str) -> None:
    assert _check(tmp_path, capfd, f"targets:\n  a: {target}\n") == (0, "dingtalk.yml: 1 targets, all good\n")


PLACEHOLDERS = [
    "xxxxxxxxxxxx",
    "...",
    "XXXX-XXXX",
    "0000000000",
    "<token>",
    "${TOKEN}",
    "YOUR_TOKEN",
    "your-token-here",
]
PLACEHOLDERS += ["替换为你的token", "token", "access_token", "changeme", "1234567890", "3f5axxxxxxxx", "****", "$TOKEN"]


@pytest.mark.parametrize("token", PLACEHOLDERS)
@pytest.mark.parametrize(("url", "kind"), [(DINGTALK, "dingtalk"), (FEISHU, "feishu"), (WECOM, "wecom")])
def test_a_placeholder_is_not_called_good(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str, kind: str, token: str
) -> None:
    code, said = _check(tmp_path, capfd, f'targets:\n  a:\n    type: {kind}\n    url: "{url}{token}"\n')
    assert code == 1
    assert said.startswith("dingtalk.yml:4: targets.a.url: the ")
    assert said.endswith(" in it is a placeholder: copy the webhook address from the robot's settings in the group\n")


@pytest.mark.parametrize(
    "secret", ["SEC000000000000000000000", "SEC...", "SECxxxxxxxx", "SEC", "YOUR_SECRET", "SEC***"]
)
def test_a_placeholder_for_the_secret_is_not_called_good(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], secret: str
) -> None:
    code, said = _check(tmp_path, capfd, f"targets:\n  a:\n    url: {DINGTALK}{TOKEN}\n    secret: '{secret}'\n")
    assert (code, said.startswith("dingtalk.yml:4: targets.a.secret: is a placeholder: copy it")) == (1, True)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            f"{{url: 'https://oapi.dingtalk.com/send?access_token={TOKEN}'}}",
            "the path of these robots is /robot/send: co",
        ),
        (f"{{url: '{DINGTALK}'}}", "has no access_token: copy"),
        (f"{{url: '{DINGTALK}{TOKEN}', secret: {TOKEN}}}", "a DingTalk robot's begins with SEC"),
        (f"{{url: '{DINGTALK}{TOKEN}', secret: ' {SECRET}'}}", "has blanks before or after it"),
        (
            f"{{url: 'https://open.feishu.cn/{UUID}', type: feishu}}",
            "the path of these robots is /open-apis/bot/v2/hook/ID",
        ),
        (
            f"{{url: 'https://open.feishu.cn/open-apis/bot/hook/{UUID}', type: feishu}}",
            "is that of a robot of version 1",
        ),
        (f"{{url: '{FEISHU}', type: feishu}}", "has no id at the end of it: copy"),
        (f"{{url: '{WECOM}{TOKEN}', type: wecom}}", "the key in it is no UUID"),
        (f"{{url: 'https://qyapi.weixin.qq.com/cgi-bin/webhook/send?k={UUID}', type: wecom}}", "has no key: copy"),
        (
            f"{{url: 'https://qyapi.weixin.qq.com/send?key={UUID}', type: wecom}}",
            "the path of these robots is /cgi-bin/web",
        ),
        (f"{{url: '{DINGTALK}{TOKEN}', type: feishu}}", "is a DingTalk robot's; leave `type` out"),
        (f"{{url: '{FEISHU}{UUID}'}}", "is a Feishu robot's; add `type: feishu`"),
        (f"{{url: '{WECOM}{UUID}', type: feishu}}", "is a WeCom robot's; add `type: wecom`"),
    ],
)
def test_an_address_that_is_not_a_robots_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    code, shown = _check(tmp_path, capfd, f"targets:\n  a: {target}\n")
    assert code == 1
    assert shown.startswith("dingtalk.yml:2: targets.a")
    assert said in shown
    assert shown.count("\n") == 1
    assert not any(secret in shown for secret in (TOKEN, UUID, SECRET))


def _everywhere(canary: str) -> list[str]:
    """Configurations with a secret in a place where it does not belong, or in a URL that is none."""
    whole = DINGTALK + canary
    urls = [whole.removeprefix("https://"), whole.removeprefix("https:"), f" {whole}", f"'{whole}'", f"“{whole}”"]
    urls += [f"<{whole}>", whole.replace("https", "HTPS"), whole.replace("https", "ftp"), whole.replace("?", " ?")]
    urls += [whole.replace("://", "：//"), whole.replace("oapi.dingtalk.com", "[::1"), canary, f"https://?x={canary}"]
    urls += [
        whole.replace(".com", ".com:99999"),
        f"open.feishu.cn/open-apis/bot/v2/hook/{canary}",
        f"{whole}\n{canary}",
    ]
    urls += [f"qyapi.weixin.qq.com/cgi-bin/webhook/send?key={canary}", f"HTTPS//{canary}", f"https:/{canary}"]
    quoted = ['"' + url.replace('"', "'").replace("\n", "\\n") + '"' for url in urls]
    targets = [f"  a: {{url: {url}}}" for url in quoted]
    targets += [f"  a: {whole}", f"  a: [{whole}]", f"  {whole}: {{url: x}}", f"  a: {{url: [{whole}]}}"]
    targets += [
        f"  a: {{url: {{u: {whole}}}}}",
        f"  a: {{url:{whole}, lang: zh}}",
        f"  a: {{secret:{canary}, lang: zh}}",
    ]
    good = f"url: '{DINGTALK}{TOKEN[::-1]}'"
    targets += [f"  a: {{{good}, {key}: '{canary}'}}" for key in ("type", "lang", "time_zone", "mention", "message")]
    targets += [f"  a: {{{good}, mention: {{all: {canary}}}}}", f"  a: {{{good}, secret: [{canary}], x: y}}"]
    targets += [f"  a: {{{good}, {key}: '{whole}'}}" for key in ("type", "lang", "time_zone", "mention", "message")]
    targets += [f"  a:\n    {good}\n   secret: {canary}", f"  a:\n    url:{whole}\n    lang: zh"]
    files = ["targets:\n" + target for target in targets]
    return [
        *files,
        f"targets: {whole}",
        f"targets: {canary}",
        whole,
        f"timeout: {canary}\n{files[0]}",
        f"lang: {whole}",
    ]


@pytest.mark.parametrize("canary", [TOKEN, SECRET])
def test_no_message_about_a_mistake_tells_the_token(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], canary: str
) -> None:
    for text in _everywhere(canary):
        code, said = _check(tmp_path, capfd, f"{text}\n")
        assert code == 1, text
        assert said.startswith("dingtalk.yml:"), text
        assert canary not in said, text


def test_a_target_with_a_placeholder_is_warned_of_and_the_others_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    file = tmp_path / "c.yml"
    good = "http://robot.test/robot/send?access_token=token"
    file.write_text(f"targets:\n  a: {{url: '{DINGTALK}xxxxxxxx'}}\n  b: {{url: '{good}'}}\n")
    robot = FakeDingTalk(SystemClock())

    async def main() -> int:
        client = httpx.AsyncClient(transport=robot_transport(robot))
        app = RelayApp(RelayOptions(str(file), "127.0.0.1:0", False), SystemClock(), client)
        runner = asyncio.create_task(app.run())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app.http.asgi), base_url="http://relay") as http:
            answer = await http.post("/dingtalk/b/send", content=body([alert()]))
        app.stop()
        await runner
        return answer.status_code

    with caplog.at_level(logging.WARNING, "rulepush"):
        assert asyncio.run(main()) == 200
    [line] = [r.getMessage() for r in caplog.records if "placeholder" in r.getMessage()]
    assert line.startswith(f"{file}:2: targets.a.url: the access_token in it is a placeholder")
    assert line.endswith("; messages to this target will fail")


@pytest.mark.parametrize(
    "name",
    ["Asia/Beijing", "Beijing", "beijing", "UTC+8", "GMT+8", "UTC+08:00", "+8", "+08:00", "China", "CST-8", "北京时间"],
)
def test_a_name_for_chinas_time_is_answered_with_the_one_that_is_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"time_zone: '{name}'\ntargets:\n  a: {{url: '{DINGTALK}{TOKEN}'}}\n")
    [problem] = caught.value.problems
    assert (problem.line, problem.message) == (1, f"time_zone: unknown time zone {name!r}: use Asia/Shanghai")


def test_cst_is_answered_with_both_that_it_may_mean() -> None:
    assert zone_fault("CST").endswith(
        "use Asia/Shanghai for China's (CST is also that of the central USA, America/Chicago)"
    )


def test_a_misspelt_zone_gets_a_suggestion() -> None:
    assert zone_fault("europe/berlin") == "unknown time zone 'europe/berlin': did you mean Europe/Berlin?"
    assert zone_fault("Asia/Tokio") == "unknown time zone 'Asia/Tokio': did you mean Asia/Tokyo?"
    assert zone_fault("nowhere") == "unknown time zone 'nowhere': a name such as Asia/Shanghai is wanted"


@pytest.mark.parametrize("name", ["PRC", "Asia/Chongqing", "Asia/Shanghai"])
def test_names_that_the_database_has_are_taken(tmp_path: Path, name: str) -> None:
    assert (
        load(tmp_path, f"time_zone: {name}\ntargets:\n  a: {{url: '{DINGTALK}{TOKEN}'}}\n").targets["a"].time_zone
        == name
    )


def test_a_zone_with_an_inverted_sign_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rulepush"):
        load(tmp_path, f"time_zone: Etc/GMT+8\ntargets:\n  a: {{url: '{DINGTALK}{TOKEN}'}}\n")
    assert "config.yml:1: time_zone: Etc/GMT+8 is 8 hours behind UTC" in caplog.text
