"""The text of alertmanager.yml: routes, a receiver for each robot, and what is no message of its own."""

from __future__ import annotations

import json

from rulepush.init.setup import Inhibition, Robot, Setup
from rulepush.init.wording import comment, wording

_NOBODY = "nobody"
_WATCHDOG = "watchdog"


def alertmanager_yml(setup: Setup) -> str:
    """Every robot hears of everything but the Watchdog."""
    say = wording(setup.language)
    head = say(
        f"Written by `rulepush init {setup.app}`: the configuration of Alertmanager.",
        f"由 `rulepush init {setup.app}` 生成：Alertmanager 的配置。",
    )
    if not setup.brings_alertmanager:
        head += "\n" + say(
            "Your Alertmanager has a configuration already: take over from here the receivers, the routes and\n"
            "inhibit_rules, and reload it (amtool check-config tells whether it is right).",
            "您的 Alertmanager 已有配置：请把这里的 receivers、routes 和 inhibit_rules 合并进去，然后重新加载\n"
            "（可用 amtool check-config 检查）。",
        )
    watchdog = say(
        "It fires all the time, to show that alerts get through. Give the receiver the URL of a dead man's switch.",
        "它始终触发，用来证明告警链路是通的。可以在接收者中填写外部心跳监控的地址。",
    )
    nobody = say(
        "Nobody is told yet: give this receiver an address.",
        "目前还不会通知任何人：请在这个接收者中填写通知地址。",
    )
    receivers = "".join(_receiver(robot, setup.relay_address) for robot in setup.robots)
    if not setup.robots:
        receivers = f"{comment(nobody, '  ')}  - name: {_NOBODY}\n"
    # Of several robots each one has a route, so that each can be given matchers of its own.
    routes = "".join(_route(robot) for robot in setup.robots) if len(setup.robots) > 1 else ""
    return f"""\
{comment(head)}\
route:
  receiver: {setup.robots[0].name if setup.robots else _NOBODY}
  group_by: [alertname, job]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 4h
  routes:
{comment(watchdog, "    ")}\
    - matchers: ['alertname="Watchdog"']
      receiver: {_WATCHDOG}
{routes}
receivers:
{receivers}\
  - name: {_WATCHDOG}
{_inhibit_rules(setup)}"""


def _route(robot: Robot) -> str:
    return f"    - receiver: {robot.name}\n      continue: true\n"


def _receiver(robot: Robot, relay: str) -> str:
    return (
        f"  - name: {robot.name}\n"
        "    webhook_configs:\n"
        f"      - url: http://{relay}/dingtalk/{robot.name}/send\n"
        "        send_resolved: true\n"
    )


def _inhibit_rules(setup: Setup) -> str:
    if not setup.inhibitions:
        return ""
    say = wording(setup.language)
    why = say("Of a server that is down, only that is worth a message.", "服务器宕机时，只发送宕机这一条消息。")
    return f"\ninhibit_rules:\n{comment(why, '  ')}{''.join(map(_inhibition, setup.inhibitions))}"


def _inhibition(inhibition: Inhibition) -> str:
    return (
        f"  - source_matchers: [{_single(inhibition.source)}]\n"
        f"    target_matchers: [{_single(inhibition.targets)}]\n"
        f"    equal: {json.dumps(list(inhibition.equal))}\n"
    )


def _single(text: str) -> str:
    """In single quotes, as a matcher has double ones."""
    return "'" + text.replace("'", "''") + "'"
