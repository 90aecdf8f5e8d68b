"""The series from before a restart, and the targets that they came from."""

from __future__ import annotations

from rulepush.exposition import Format
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, is_stale
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.restored import RestoredSeries
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

TARGET = Labels({"job": "app", "instance": "a", "zone": "1"})


def series(name: str, **labels: str) -> Labels:
    return TARGET.with_({"__name__": name, **labels})


def test_a_series_goes_once_to_the_target_whose_labels_it_has() -> None:
    restored = RestoredSeries()
    mine = [series("m", path="/"), series("n")]
    restored.add([*mine, series("m", zone="2"), series("up"), series("r")], {"r"})
    assert restored.take(Labels({"job": "app", "instance": "b"})) == []
    assert restored.take(TARGET) == mine
    assert restored.take(TARGET) == []
    assert restored.take(TARGET.with_({"zone": "2"})) == [series("m", zone="2")]


def test_what_ended_before_the_restart_is_nobodys() -> None:
    head = Head(Demand.keep_all(3_600_000))
    head.append(series("m"), 1, 5.0)
    head.append(series("n"), 1, 5.0)
    head.append(series("n"), 2, STALE)
    assert list(head.unended()) == [series("m")]


def test_the_first_body_ends_what_it_does_not_have_and_nothing_else() -> None:
    head = Head(Demand.keep_all(3_600_000))
    names = ("here", "timed", "gone")
    for name in names:
        head.append(series(name), 1_000, 5.0)
    cache = ScrapeCache(head, TARGET, SampleRules())
    cache.add_restored(head.unended())
    cache.ingest(b"here 6\ntimed 7 2000\n", Format.TEXT, 3_000)
    newest = {}
    for table in head.tables():
        _, values, counts = table.columns()
        newest[table.name] = float(values[0, counts[0] - 1])
    assert (newest["here"], newest["timed"]) == (6.0, 7.0)
    assert is_stale(newest["gone"])
