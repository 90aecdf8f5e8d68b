"""The text of README.md: what lies in the directory, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

from rulepush.init.commands import start_commands, test_command
from rulepush.init.compose_yaml import secret_files
from rulepush.init.setup import (
    ALERTMANAGER,
    COMPOSE,
    CONFIG,
    CONTAINER_USER,
    DEBIAN_PROGRAM,
    DINGTALK,
    SIDECAR,
    UPSTREAM_PROGRAM,
    Setup,
)
from rulepush.init.wording import Wording, wording


def readme_md(setup: Setup) -> str:
    """The files, and the commands by hand and with containers."""
    say = wording(setup.language)
    table = "".join(f"| [{name}]({name}) | {what} |\n" for name, what in _files(setup, say))
    file, what_it_is = say("file", "文件"), say("what it is", "说明")
    by = f"`rulepush init {setup.app}`"
    written = say(f"Written by {by}. Everything may be changed.", f"由 {by} 生成，都可以修改。")
    return f"""\
# {say(f"Alerts of {setup.title}", f"{setup.title} 告警")}

{written}

| {file} | {what_it_is} |
|---|---|
{table}
## {say("Start", "启动")}

{_start(setup, say)}
{_containers(setup, say)}
{_afterwards(setup, say)}"""


def _files(setup: Setup, say: Wording) -> Iterator[tuple[str, str]]:
    yield (
        CONFIG,
        say("what is scraped, where alerts go: Prometheus' own format", "抓取什么、告警发往哪里：Prometheus 的格式"),
    )
    yield (
        "rules/",
        say("the alerting rules; thresholds are yours to change", "告警规则，阈值可以自行修改"),
    )
    if setup.writes_alertmanager:
        own = setup.brings_alertmanager
        yield (
            ALERTMANAGER,
            say("who is notified of what", "谁收到哪些通知")
            if own
            else say(
                "what to take over into your Alertmanager's configuration", "需要合并到现有 Alertmanager 配置中的内容"
            ),
        )
    if setup.robots:
        yield DINGTALK, say("the robots, with their tokens: readable by you only", "机器人及其令牌：只有您自己可读")
    yield COMPOSE, say("all of it in containers", "用容器运行以上全部")
    if setup.sidecar:
        yield (
            SIDECAR,
            say(
                "for Kubernetes: rulepush in the pod of the application, with the rules of the image",
                "用于 Kubernetes：rulepush 与应用在同一个 Pod 中，使用镜像自带的规则",
            ),
        )


def _block(*commands: str) -> str:
    return "```sh\n" + "".join(f"{command}\n" for command in commands) + "```\n"


def _start(setup: Setup, say: Wording) -> str:
    commands = start_commands(setup)
    if len(commands) == 1:
        how = say("In this directory:", "在本目录中执行：")
    else:
        how = say(
            "In this directory, each one in a terminal of its own, for each keeps running:",
            "在本目录中执行，每条命令使用一个终端，并保持运行：",
        )
    if setup.brings_alertmanager and setup.alertmanager_program == UPSTREAM_PROGRAM:
        how += "\n" + say(
            f"(on Debian and Ubuntu the program is called `{DEBIAN_PROGRAM}`)",
            f"（在 Debian 和 Ubuntu 上程序名为 `{DEBIAN_PROGRAM}`）",
        )
    return f"{how}\n\n{_block(*commands)}"


def _containers(setup: Setup, say: Wording) -> str:
    names = " ".join(secret_files(setup))
    readable = [f"sudo chown {CONTAINER_USER} {names}"] if names else []
    how = say(
        "Or in containers, with the image `rulepush:latest`, built by `docker build -t rulepush .` in a checkout of "
        "rulepush:",
        "或者用容器运行。镜像 `rulepush:latest` 在 rulepush 的代码目录中用 `docker build -t rulepush .` 构建：",
    )
    return f"{how}\n\n{_block(*readable, 'docker compose up -d')}"


def _afterwards(setup: Setup, say: Wording) -> str:
    test = test_command(setup)
    if not test:
        tested = ""
    else:
        what = say(
            "Then send a test alert on the whole way. It says where it stopped:",
            "然后沿整条链路发送一条测试告警，如果中断，会指出在哪一步：",
        )
        tested = f"{what}\n\n{_block(test)}\n"
    merge = ""
    if setup.robots and not setup.brings_alertmanager:
        merge = say(
            f"Before that, Alertmanager has to know the relay: take over `{ALERTMANAGER}` into its configuration, and\n"
            "reload it.\n\n",
            f"在此之前，Alertmanager 需要知道转发服务：请把 `{ALERTMANAGER}` 合并到它的配置中并重新加载。\n\n",
        )
    pages = say(
        f"The pages are at <{setup.external_url}>. Links in messages lead there: where phones reach it at another\n"
        "address, change `--web.external-url`. `rulepush check live --config.file prometheus.yml` tells of every rule\n"
        "whether it can fire.",
        f"页面地址：<{setup.external_url}>，消息中的链接指向这里。如果手机需要用别的地址访问，请修改\n"
        "`--web.external-url`。`rulepush check live --config.file prometheus.yml` 会逐条说明规则能否触发。",
    )
    return f"{merge}{tested}{pages}\n"
