"""`rulepush test delivery`: a test alert on the whole way, and where it stopped."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from rulepush import __version__
from rulepush.cli.options import Subparsers, add_command, add_config_file, add_timeout
from rulepush.cli.progress import elapsing, shown_progress
from rulepush.cli.terminal import terminal_text
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.deliverytest.follow import LOCAL_RELAY, DeliveryTest
from rulepush.deliverytest.plan import DeliveryPlan
from rulepush.deliverytest.steps import Step, StepState
from rulepush.livecheck.fetch import environment
from rulepush.model.labels import is_valid_utf8_name
from rulepush.model.typed_url import typed_url
from rulepush.relay.trial_record import TRIAL_ALERT, TRIAL_LABEL

_EXIT: Final = {StepState.OK: 0, StepState.FAILED: 1, StepState.UNSEEN: 3}
_MARKS: Final = {StepState.OK: "ok      ", StepState.FAILED: "FAILED  ", StepState.UNSEEN: "unseen  "}
_INDENT: Final = " " * 8
_VERDICTS: Final = {
    StepState.OK: "The alert arrived.",
    StepState.FAILED: "The alert did not arrive, or not on every way: see FAILED.",
    StepState.UNSEEN: "Nothing failed, but not everything could be seen: see unseen.",
}


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """rulepush's own flags."""
    p = add_command(
        subparsers,
        "delivery",
        f"""Send a test alert to every Alertmanager of a configuration, follow it to its receivers, and resolve it.

The alert is {TRIAL_ALERT}_<id> with severity=info: people are told of it as of any other, as a test.
The way is followed through `rulepush dingtalk` (--relay) to the robot.""",
        {
            0: "The alert arrived, as far as there is to see.",
            1: "It was stopped on the way, or the configuration cannot be used.",
            3: "Nothing failed, but not everything could be seen: whether a mail arrived, for example.",
        },
        [
            "rulepush test delivery --config.file prometheus.yml --relay http://127.0.0.1:8060",
            "rulepush test delivery --config.file prometheus.yml --label severity=critical --label team=db",
        ],
    )
    add_config_file(p, "Configuration file whose Alertmanagers are tested.", "prometheus.yml")
    p.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Label of the alert, so that it takes the route of real ones; can be repeated.",
    )
    p.add_argument(
        "--relay",
        default="",
        metavar="URL",
        help="Base URL of the `rulepush dingtalk` behind the webhook, which is asked what the robot answered; can "
        "contain user:password@. Alertmanager tells nobody the URLs of its webhooks. Without it, one that listens "
        f"on {LOCAL_RELAY} is asked.",
    )
    add_timeout(p, "How long to wait for a message beyond group_wait or group_interval of its route.")
    p.add_argument(
        "--no-resolved",
        action="store_true",
        help="Do not wait for the message that the alert is resolved, which takes group_interval. It is resolved in "
        "any case.",
    )
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Follow the alert; the steps are printed as they end."""
    try:
        labels = labels_of(args.label)
        relay = relay_url(args.relay)
    except ValueError as e:
        print(f"rulepush test delivery: {e}", file=sys.stderr)
        return 1
    config = load_config(args.config_file)
    plan = DeliveryPlan(
        test_id=secrets.token_hex(4),
        labels=labels,
        relay_url=relay,
        slack_ms=int(args.timeout * 1000),
        follow_end=not args.no_resolved,
    )

    async def follow() -> StepState:
        task = asyncio.current_task()
        if task is not None:  # as for SIGINT: the alert is resolved before the end
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        env = environment(SystemClock(), f"rulepush/{__version__}")
        return await DeliveryTest(config, plan, env, _Printed()).run()

    try:
        state = asyncio.run(follow())
    except asyncio.CancelledError:
        return 143
    print(_VERDICTS[state])
    return _EXIT[state]


class _Printed:
    """Prints the steps, and waits with a line of progress where that is a terminal."""

    def step(self, step: Step) -> None:
        text = f"{_MARKS[step.state]}{step.text}"
        if step.cure:
            text += f"\n{_INDENT}-> {step.cure}"
        print(terminal_text(text), flush=True)

    @asynccontextmanager
    async def waiting(self, seconds: float, what: str) -> AsyncIterator[None]:
        print(terminal_text(f"{_INDENT}waiting for {what}"), flush=True)
        with shown_progress(sys.stderr) as line:
            async with elapsing(line, seconds, "waiting"):
                yield


def labels_of(values: Sequence[str]) -> Mapping[str, str]:
    """The labels that `--label` was given. Raises ValueError."""
    labels: dict[str, str] = {}
    for label in values:
        name, equals, value = label.partition("=")
        if not equals or not is_valid_utf8_name(name) or name in labels:
            raise ValueError(f"--label {label!r}: expected NAME=VALUE, each name once")
        if name in ("alertname", TRIAL_LABEL):
            raise ValueError(f"--label {label!r}: {name} marks the alert as a test and cannot be changed")
        labels[name] = value
    return labels


def relay_url(text: str) -> str:
    """The base URL of the relay. Raises ValueError, without showing a password."""
    if not text:
        return ""
    try:
        if "://" not in text:
            raise ValueError
        typed_url(text)
    except ValueError as e:
        raise ValueError(f"--relay: expected a URL such as {LOCAL_RELAY}{e}") from None
    # What stands in webhook_configs is understood, too.
    return text.partition("/dingtalk/")[0].rstrip("/")
