"""Scraped bodies for the tests of the analysis."""

from __future__ import annotations

from rulepush.exposition import Format, parse_body
from rulepush.livecheck import (
    Finding,
    FindingKind,
    Level,
    LiveData,
    LiveRule,
    Scrape,
    TargetProblem,
    TargetScrapes,
    analyse,
)
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.promql import parse_expr

NOW = 1_700_000_000_000
TARGET = Labels.of(job="nacos", instance="n1:8848", service="nacos-headless")


def answer(*bodies: bytes, fmt: Format = Format.TEXT, target: Labels = TARGET, step_ms: int = 15_000) -> TargetScrapes:
    """A target that answered these bodies, one every `step_ms`, the last one at NOW."""
    scrapes = []
    for i, body in enumerate(bodies):
        ts = NOW - (len(bodies) - 1 - i) * step_ms
        parsed = parse_body(body, fmt)
        samples = tuple(Sample(Labels({**dict(s.pairs), **dict(target)}), ts, s.value) for s in parsed.samples)
        scrapes.append(Scrape(ts, samples, {name: meta.type for name, meta in parsed.metadata.items()}))
    return TargetScrapes(target.get("job"), "http://n1:8848/nacos/actuator/prometheus", target, tuple(scrapes))


def broken(message: str = "connection refused") -> TargetScrapes:
    """A target that gave nothing."""
    return TargetScrapes("nacos", "http://n2:8848/", TARGET, (Scrape(NOW, trouble=TargetProblem(message)),))


def findings(
    expr: str, *bodies: bytes, labels_known: bool = True, more: tuple[TargetScrapes, ...] = ()
) -> list[Finding]:
    """What is found about an alert with this expression."""
    seen = LiveData([answer(*bodies), *more], labels_known=labels_known)
    return list(analyse([LiveRule("Test", parse_expr(expr))], seen).rules[0].findings)


def problems(expr: str, *bodies: bytes, labels_known: bool = True) -> set[FindingKind]:
    """The kinds of the problems found."""
    found = findings(expr, *bodies, labels_known=labels_known)
    return {f.kind for f in found if f.level is Level.PROBLEM}


def only(expr: str, kind: FindingKind, *bodies: bytes) -> Finding:
    """The one finding of this kind."""
    found = [f for f in findings(expr, *bodies) if f.kind is kind]
    assert len(found) == 1, found
    return found[0]
