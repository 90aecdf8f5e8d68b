"""A BacktestReport as a text for a terminal. Pure."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rulepush.backtest.compare import Comparison, MovedEpisode
from rulepush.backtest.episodes import Episode
from rulepush.backtest.report import BacktestReport, RuleSummary
from rulepush.model.durations import format_duration
from rulepush.model.labels import ALERT_NAME
from rulepush.model.timestamps import format_rfc3339

WIDTH: Final = 100
_NO_TIME: Final = "-"


def backtest_text(report: BacktestReport, compared: Comparison | None = None) -> str:
    """The range and what is not known of it, the episodes by time, a line or more a rule, and the comparison."""
    return "\n".join(line.rstrip() for line in _lines(report, compared)) + "\n"


def _lines(report: BacktestReport, compared: Comparison | None) -> Iterator[str]:
    if report.first is None or report.last is None:
        yield f"nothing was evaluated from {time_text(report.start)} to {time_text(report.end)}"
    else:
        length = format_duration(_rounded(report.last - report.first))
        yield f"evaluated from {time_text(report.first)} to {time_text(report.last)} ({length})"
    for caveat in report.caveats:
        yield from _wrapped(caveat.text, "but: ", 5)
    yield ""
    fired = report.fired
    if report.episodes:
        only_pending = len(report.episodes) - len(fired)
        facts = [f"{_count(len(fired), 'episode')} that fired"] if fired else []
        if only_pending:
            facts.append(f"{_count(only_pending, 'episode')} of alerts that were pending only")
        yield f"{', '.join(facts)}, by time"
        yield ""
        yield f"  {'pending since':<20}  {'fired':<20}  {'ended':<20}  {'fired for':<9}"
        for number, episode in enumerate(report.episodes, 1):
            yield from _episode(episode, report.until, number)
    elif any(rule.is_alert for rule in report.rules):
        yield "no alert was pending or fired"
    yield ""
    yield from _rules(report.rules)
    if compared is not None:
        yield ""
        yield from _comparison(compared, report.until)


def time_text(ms: int) -> str:
    """RFC 3339 in whole seconds."""
    return format_rfc3339(ms // 1000 * 1000)


def _rounded(ms: int) -> int:
    return (ms + 500) // 1000 * 1000 if ms >= 1000 else ms


def _lasted(ms: int) -> str:
    return format_duration(_rounded(ms))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def episode_name(episode: Episode) -> str:
    """The alert and its labels."""
    return f"{episode.labels.get(ALERT_NAME)} {episode.labels.without((ALERT_NAME,))}"


def _episode(episode: Episode, until: int, number: int) -> Iterator[str]:
    since = time_text(episode.pending_since)
    if episode.fired_at is None:
        fired, lasted = _NO_TIME, _NO_TIME
    else:
        fired, lasted = time_text(episode.fired_at), _lasted(episode.firing_ms(until))
    ended = "goes on" if episode.ended_at is None else time_text(episode.ended_at)
    yield f"  {since:<20}  {fired:<20}  {ended:<20}  {lasted:<9}"
    yield from _wrapped(f"{number}. {episode_name(episode)}", "      ", 8)
    facts = [f"peak {episode.peak:g}, last {episode.last:g}"]
    if episode.since_before:
        facts.append("true already when the data begin")
    if episode.fired_at is None:
        facts.append(f"pending for {_lasted(episode.pending_ms(until))}")
    else:
        sent = f"sent {_times(episode.sent_firing)}"
        facts.append(f"{sent}, {_times(episode.sent_resolved)} as resolved" if episode.sent_resolved else sent)
    yield from _wrapped("; ".join(facts), "      ", 6)
    if episode.why:
        yield from _wrapped(f"ended: {episode.why}", "      ", 8)
    for name, text in episode.annotations:
        if name in ("summary", "description", "message"):
            yield from _wrapped(f"{name}: {' '.join(text.split())}", "      ", 8)
            break


def _rules(rules: Sequence[RuleSummary]) -> Iterator[str]:
    """Those that have something to tell, a line each; the others by their names."""
    yield f"rules ({len(rules)})"
    quiet: list[str] = []
    for rule in rules:
        if rule.fired or rule.pending_only or rule.failures:
            yield from _rule(rule)
        elif rule.is_alert:
            quiet.append(rule.place.name)
    recording = [rule.place.name for rule in rules if not rule.is_alert]
    for title, names in (("never pending", quiet), ("recording rules", recording)):
        if names:
            yield from _wrapped(f"{title} ({len(names)}): {', '.join(dict.fromkeys(names))}", "  ", 6)
    missing: dict[str, dict[str, None]] = {}
    for rule in rules:
        for text in map(str, rule.missing):
            missing.setdefault(text, {})[rule.place.name] = None
    if missing:
        yield ""
        yield "rules that lack data"
        for text, of_rules in missing.items():
            yield from _wrapped(f"{text}: {', '.join(of_rules)}", "  ", 6)


def _rule(rule: RuleSummary) -> Iterator[str]:
    place = rule.place
    file = min(place.file, os.path.relpath(place.file), key=len) if place.file else ""
    facts = []
    if rule.fired:
        facts.append(f"fired {_times(rule.fired)}, longest {_lasted(rule.longest_firing_ms)}")
    if rule.pending_only:
        facts.append(f"pending only {_times(rule.pending_only)}, longest {_lasted(rule.longest_pending_ms)}")
    if rule.failures:
        facts.append(f"failed {_times(rule.failed)}")
    yield from _wrapped(f"{place.name}: {'; '.join(facts)}", "  ", 6)
    for failure in rule.failures:
        text = f"{file}:{place.line}: {_times(failure.count)}, first at {time_text(failure.first)}: {failure.error}"
        yield from _wrapped(text, "      ", 8)


def _comparison(compared: Comparison, until: int) -> Iterator[str]:
    yield "compared with the other version"
    if compared.is_same:
        yield f"  both fire alike: {_count(compared.same, 'episode')}"
        return
    if compared.same:
        yield f"  {_count(compared.same, 'episode')} alike"
    for title, episodes in (("only the new one", compared.only_new), ("only the old one", compared.only_old)):
        yield from _listed(title, episodes, until)
    for moved in compared.moved:
        yield from _wrapped(f"moved: {episode_name(moved.new)}", "  ", 6)
        yield from _wrapped(moved_text(moved), "      ", 6)


def _listed(title: str, episodes: Sequence[Episode], until: int) -> Iterator[str]:
    for episode in episodes:
        yield from _wrapped(f"{title}: {episode_name(episode)}", "  ", 6)
        at = time_text(episode.fired_at or 0)
        yield f"      fired at {at}, for {_lasted(episode.firing_ms(until))}"


def moved_text(moved: MovedEpisode) -> str:
    """What is otherwise in the new version."""
    parts = []
    if moved.new.fired_at is None:
        return f"fired at {time_text(moved.old.fired_at or 0)}, now it is pending only"
    if moved.old.fired_at is None:
        return f"was pending only, now it fires at {time_text(moved.new.fired_at)}"
    parts.append(f"fired at {time_text(moved.old.fired_at)}")  # several of an alert differ in that alone
    if moved.fired_by:
        parts.append(f"fires {_lasted(abs(moved.fired_by))} {'later' if moved.fired_by > 0 else 'earlier'}")
    if moved.ended_by:
        parts.append(f"ends {_lasted(abs(moved.ended_by))} {'later' if moved.ended_by > 0 else 'earlier'}")
    elif moved.ended_by is None:
        parts.append("goes on" if moved.new.ended_at is None else "ends now")
    if moved.longer_by:
        parts.append(f"{_lasted(abs(moved.longer_by))} {'longer' if moved.longer_by > 0 else 'shorter'}")
    return ", ".join(parts)


def _wrapped(text: str, indent: str, hanging: int) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
