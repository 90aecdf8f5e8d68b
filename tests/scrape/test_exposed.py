"""What a target exposes, whatever became of it."""

from __future__ import annotations

from rulepush.exposition import Format
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, Relabel, RelabelConfig, relabel
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head

BODY = b"""# TYPE kept gauge
kept{a="1"} 1
kept{a="2"} 2
# TYPE other_total counter
other_total{a="1"} 3
other_total{a="2"} 4 1700000000000
{"dotted.name",a="1"} 5
gone 6
"""
TARGET = Labels.of(job="j")


def cache(*, how: Relabel | None = None) -> ScrapeCache:
    head = Head(Demand.of([ManualDemand.metric("kept", 300_000)]))
    return ScrapeCache(head, TARGET, SampleRules(metric_relabel=how))


def test_lines_that_no_rule_needs_are_there_once_a_metric_unless_asked_for() -> None:
    made = cache()
    assert made.ingest(BODY, Format.TEXT, 1_700_000_000_000).error == ""
    assert made.line_count == 6
    found = [(name, str(labels)) for name, labels in made.exposed().series({"kept"})]
    assert found == [
        ("kept", 'kept{a="1", job="j"}'),
        ("kept", 'kept{a="2", job="j"}'),
        ("other_total", 'other_total{a="1", job="j"}'),
        ("dotted.name", '{"dotted.name", a="1", job="j"}'),
        ("gone", 'gone{job="j"}'),
    ]
    assert len(list(made.exposed().series({"kept", "other_total"}))) == 6
    assert made.exposed().families()["other_total"].type == "counter"


def test_what_relabelling_drops_has_no_labels() -> None:
    drop = RelabelConfig(action=Action.DROP, source_labels=("__name__",), regex="gone")
    made = cache(how=lambda labels: relabel(labels, [drop]))
    made.ingest(BODY, Format.TEXT, 1_700_000_000_000)
    assert [name for name, labels in made.exposed().series(()) if labels is None] == ["gone"]


def test_the_lines_of_the_last_good_body_stay_when_a_scrape_fails() -> None:
    made = cache()
    made.ingest(BODY, Format.TEXT, 1_700_000_000_000)
    made.end(1_700_000_015_000)
    assert made.line_count == 6


def test_openmetrics_lines_are_read_by_their_grammar() -> None:
    made = cache()
    made.ingest(b"# TYPE kept gauge\nkept 1.0\n# EOF\n", Format.OPENMETRICS, 1_700_000_000_000)
    assert [name for name, _ in made.exposed().series({"kept"})] == ["kept"]
    assert made.exposed().families()["kept"].type == "gauge"
