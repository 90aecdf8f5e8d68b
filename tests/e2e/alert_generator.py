"""What the public alert generator compliance tester does, made small: samples in by remote write, the query, rules and
alerts APIs polled, every alert recorded as Alertmanager receives it, all held against what the samples must lead to.

It knows nothing of rulepush. All times follow from a Timing: the true one is the public tester's.

    python3 -m tests.e2e.alert_generator    # the true times, about 25 minutes
"""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.generator_cases import CASES, QUICK, RESOLVED_RESENDS, TRUE, Case, Expected, Key, Timing
from tests.e2e.generator_wire import WRITE_HEADERS, Received, Receiver, parse_time, write_request
from tests.servers import free_port, rulepush_command, running


@dataclass
class Report:
    """What was wrong, and how much was looked at."""

    problems: list[str] = field(default_factory=list)
    polls: int = 0
    certain: int = 0  # states of alerts that had to be one thing, and were compared
    received: int = 0

    def expect(self, good: bool, text: str) -> None:
        """Note a problem."""
        if not good:
            self.problems.append(text)


class Tester:
    """Runs all cases against the server at `url`; alerts come to `receiver`."""

    def __init__(self, url: str, receiver: Receiver, cases: Sequence[Case], timing: Timing):
        self._url = url
        self._receiver = receiver
        self._cases = cases
        self._t = timing
        self._http = httpx.Client(trust_env=False, timeout=60)
        self.report = Report()
        self._expected = {e.key: e for case in cases for e in case.expected}

    def run(self) -> Report:
        """Takes until `tail` after the last span. Returns what was wrong."""
        t, start = self._t, time.time()
        end = start + max(e for x in self._expected.values() for _, e in x.spans) + t.tail
        next_write = next_poll = start
        while (now := time.time()) < end:
            if now >= next_write:
                self._write(now - start, now)
                next_write += t.write
            if now >= next_poll:
                if now - start > t.seen:
                    self._poll(start)
                next_poll += t.poll
            time.sleep(max(0.0, min(next_write, next_poll) - time.time()))
        messages = [m for m in self._receiver.messages() if m.at < end]
        self.report.received = len(messages)
        self._check_messages(messages, start, end)
        return self.report

    def _write(self, at: float, now: float) -> None:
        for case in self._cases:
            samples = case.series(at)
            assert len(samples) <= 10
            body = write_request(samples, round(now * 1000))
            self._thrice("POST", "write", content=body, headers=WRITE_HEADERS)

    def _get(self, path: str, **params: str) -> Any:
        return self._thrice("GET", path, params=params).json()["data"]

    def _thrice(self, method: str, path: str, **more: Any) -> httpx.Response:
        for last in (False, False, True):
            try:
                response = self._http.request(method, f"{self._url}/api/v1/{path}", **more)
                response.raise_for_status()
                return response
            except httpx.HTTPError:
                if last:
                    raise
                time.sleep(0.6)
        raise AssertionError

    def _poll(self, start: float) -> None:
        self.report.polls += 1
        asked = math.floor(time.time())
        stamp = datetime.fromtimestamp(asked, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        series = self._get("query", query="ALERTS", time=stamp)
        before = time.time()
        groups = self._get("rules")["groups"]
        alerts = self._get("alerts")["alerts"]
        after = time.time()
        self._check_series(series, asked, asked - start)
        self._check_active(alerts, before - start, after - start)
        self._check_rules(groups, before - start, after - start, after)

    def _check_series(self, data: Mapping[str, Any], asked: int, at: float) -> None:
        note = self.report.expect
        note(data["resultType"] == "vector", f"query: {data['resultType']}")
        found = defaultdict(list)
        for row in data["result"]:
            metric = dict(row["metric"])
            note(metric.pop("__name__") == "ALERTS", f"query: {row}")
            note(row["value"] == [asked, "1"], f"query at {asked}: {row}")
            state = metric.pop("alertstate")
            if metric["alertname"] == "OfAlerts":
                metric["alertstate"] = state  # its own label and the series' are the same one, and it only fires
            found[tuple(sorted(metric.items()))].append(state)
        # At this very second, for what was written at it may not be there yet.
        self._compare("query", dict(found), at - self._t.slack, at + self._t.slack)

    def _check_active(self, alerts: Sequence[Mapping[str, Any]], since: float, until: float) -> None:
        found = defaultdict(list)
        for alert in alerts:
            key = tuple(sorted(alert["labels"].items()))
            found[key].append(alert["state"])
            expected = self._expected.get(key)
            self.report.expect(
                expected is not None and alert["annotations"] == expected.annotations, f"alerts: annotations of {alert}"
            )
            float(alert["value"])
            parse_time(alert["activeAt"])
        self._compare("alerts", dict(found), since, until)

    def _compare(self, where: str, found: Mapping[Key, list[str]], since: float, until: float) -> None:
        for key in found.keys() - self._expected.keys():
            self.report.problems.append(f"{where}: unexpected {key} {found[key]}")
        for key, expected in self._expected.items():
            states = found.get(key, [])
            wanted = expected.state(self._t, since, until)
            if wanted is None:
                possible = {"firing"} if not expected.hold else {"pending", "firing"}
                good = len(states) < 2 and set(states) <= possible
            else:
                self.report.certain += 1
                good = states == ([wanted] if wanted else [])
            self.report.expect(good, f"{where} at {since:.2f}..{until:.2f}: {key} is {states}, expected {wanted!r}")

    def _check_rules(self, groups: Sequence[Mapping[str, Any]], since: float, until: float, now: float) -> None:
        t, note = self._t, self.report.expect
        broken = {name for case in self._cases for name in case.broken}
        for group in groups:
            note(group["interval"] == t.interval, f"rules: interval of {group['name']}: {group['interval']}")
            for of in (group, *group["rules"]):
                age = now - parse_time(of["lastEvaluation"])
                note(age <= t.interval + t.slack, f"rules: last evaluation of {of['name']} is {age:.2f}s old")
            for rule in group["rules"]:
                is_broken = rule["name"] in broken
                note(rule["health"] == ("err" if is_broken else "ok"), f"rules: {rule['name']}: {rule['health']}")
                note(bool(rule.get("lastError")) == is_broken, f"rules: {rule['name']}: {rule.get('lastError')}")
                if rule["type"] == "alerting":
                    self._check_rule(rule, since, until)

    def _check_rule(self, rule: Mapping[str, Any], since: float, until: float) -> None:
        mine = [e for e in self._expected.values() if e.labels["alertname"] == rule["name"]]
        states = [e.state(self._t, since, until) for e in mine]
        if None not in states:
            wanted = "firing" if "firing" in states else "pending" if "pending" in states else "inactive"
            self.report.expect(rule["state"] == wanted, f"rules: {rule['name']} is {rule['state']}, expected {wanted}")
            count = sum(bool(state) for state in states)
            self.report.expect(len(rule["alerts"]) == count, f"rules: {rule['name']}: {rule['alerts']}")
        for text in rule["annotations"].values():
            self.report.expect("{{" in text or text.startswith("This should"), f"rules: annotations of {rule['name']}")

    def _check_messages(self, messages: Sequence[Received], start: float, end: float) -> None:
        by_key: dict[Key, list[Received]] = defaultdict(list)
        for message in messages:
            by_key[message.key].append(message)
        for key in by_key.keys() - self._expected.keys():
            self.report.problems.append(f"alerts: unexpected {key}")
        for key, expected in self._expected.items():
            by_start: dict[float, list[Received]] = defaultdict(list)
            for message in by_key.get(key, []):
                by_start[parse_time(message.alert["startsAt"])].append(message)
            firing = [s for s in expected.spans if s[1] - s[0] >= expected.until_firing(self._t)]
            name = expected.labels["alertname"]
            self.report.expect(
                len(by_start) == len(firing), f"alerts: {name}: {len(by_start)} times instead of {len(firing)}"
            )
            lives = sorted(by_start)
            for n, ((begin, over), started) in enumerate(zip(firing, lives, strict=False)):
                until = lives[n + 1] if n + 1 < len(lives) else end
                self._check_life(expected, (start + begin, start + over), started, by_start[started], until)

    def _check_life(
        self, expected: Expected, span: tuple[float, float], started: float, messages: Sequence[Received], until: float
    ) -> None:
        t, note, name = self._t, self.report.expect, expected.labels["alertname"]
        rhythm = math.ceil(t.resend / t.interval) * t.interval
        earliest = span[0] + expected.until_firing(t)
        note(earliest - 0.1 <= started <= earliest + t.seen, f"{name}: startsAt {started - earliest:.2f}s late")
        note(messages[0].at - started <= t.slack + t.interval / 3, f"{name}: sent {messages[0].at - started:.2f}s late")
        for earlier, later in pairwise(messages):
            gap = later.at - earlier.at
            resolution = _resolved(later) and not _resolved(earlier)
            good = gap >= t.interval - t.slack if resolution else t.resend - t.slack <= gap
            note(good, f"{name}: a duplicate after {gap:.2f}s")
            note(gap <= rhythm + t.interval + t.slack, f"{name}: resent only after {gap:.2f}s")
        ends = set()
        for message in messages:
            note(message.alert["annotations"] == expected.annotations, f"{name}: {message.alert['annotations']}")
            note("/graph?g0.expr=" in message.alert["generatorURL"], f"{name}: {message.alert['generatorURL']}")
            if _resolved(message):
                ends.add(parse_time(message.alert["endsAt"]))
            else:
                ahead = parse_time(message.alert["endsAt"]) - message.at
                note(
                    t.ahead - t.interval / 3 - t.slack <= ahead <= t.ahead + t.slack, f"{name}: endsAt {ahead:.2f}s on"
                )
        note(len(ends) == 1, f"{name}: resolved at {sorted(ends)}")
        for ended in ends:
            note(span[1] - 0.1 <= ended <= span[1] + t.seen, f"{name}: resolved {ended - span[1]:.2f}s after its end")
            first = next(m for m in messages if _resolved(m))
            note(first.at - ended <= t.slack + t.interval / 3, f"{name}: resolution {first.at - ended:.2f}s late")
            last = messages[-1].at
            wanted = min(until, ended + RESOLVED_RESENDS)
            note(last >= wanted - rhythm - t.interval - t.slack, f"{name}: resent until {wanted - last:.2f}s too early")
            note(
                last <= ended + RESOLVED_RESENDS + t.interval + t.slack, f"{name}: still resent at {last - ended:.2f}s"
            )


def _resolved(message: Received) -> bool:
    return parse_time(message.alert["endsAt"]) <= message.at


def run_tester(directory: Path, timing: Timing, command: Callable[..., list[str]] = rulepush_command) -> Report:
    """All cases against a rulepush of its own, with its files in `directory`."""
    cases = [case(timing) for case in CASES]
    (directory / "rules.yml").write_text("groups:" + "".join(case.rules for case in cases))
    with contextlib.closing(Receiver()) as receiver:
        (directory / "prometheus.yml").write_text(
            f"""
global: {{evaluation_interval: {timing.interval:g}s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{receiver.address}']}}]}}]}}
"""
        )
        url = f"http://127.0.0.1:{(port := free_port())}"
        arguments = [
            "run",
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.path={directory / 'state'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            f"--rules.alert.resend-delay={timing.resend:g}s",
        ]
        with running(command(*arguments), directory / "rulepush.log", f"{url}/-/ready"):
            return Tester(url, receiver, cases, timing).run()


if __name__ == "__main__":
    chosen = QUICK if "--quick" in sys.argv else TRUE
    with tempfile.TemporaryDirectory() as place:
        report = run_tester(Path(place), chosen)
    print(f"{report.polls} polls, {report.certain} states compared, {report.received} alerts received")
    print("\n".join(report.problems) or "no problem found")
    sys.exit(bool(report.problems))
