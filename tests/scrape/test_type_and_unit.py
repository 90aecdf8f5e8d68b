"""Type and unit as labels of what is scraped: through all ways that a cache reads a body."""

from __future__ import annotations

import math

from rulepush.exposition import Format
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.exposed import ExposedLines
from rulepush.scrape.interner import Interner
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

T0 = 1_700_000_000_000
ON = SampleRules(type_and_unit_labels=True)


class Target:
    """Scrapes of one target, a second apart."""

    def __init__(self, rules: SampleRules = ON, interner: Interner | None = None):
        self.head = Head(Demand.keep_all(300_000))
        self.cache = ScrapeCache(self.head, Labels.of(job="j"), rules, interner)
        self.ts = T0

    def scrape(self, body: bytes, fmt: Format = Format.TEXT) -> set[str]:
        """The series that have a sample of this scrape, without `job`."""
        self.ts += 1000
        assert not self.cache.ingest(body, fmt, self.ts).error
        found = self.head.select([Matcher("__name__", MatchOp.REGEX, ".+")], self.ts - 1, self.ts)
        rows = zip(found.index.labels, found.values.tolist(), found.counts.tolist(), strict=True)
        ends = ((labels, values[count - 1]) for labels, values, count in rows if count)
        return {str(labels.without(("job",))) for labels, value in ends if not math.isnan(value)}


def test_off_nothing_is_added() -> None:
    assert Target(SampleRules()).scrape(b"# TYPE a gauge\na 1\n") == {"a"}


def test_unknown_and_what_nothing_declares_have_no_type() -> None:
    assert Target().scrape(b"a 1\n# TYPE b untyped\nb 1\n") == {"a", "b"}


def test_what_is_declared_replaces_what_the_body_wrote() -> None:
    body = b'# TYPE a gauge\na{__type__="counter",__unit__="own"} 1\n'
    assert Target().scrape(body) == {'a{__type__="gauge", __unit__="own"}'}


def test_a_series_that_comes_has_the_type_of_its_family() -> None:
    target = Target()
    target.scrape(b'# TYPE a gauge\na{x="1"} 1\n# TYPE b counter\nb 1\n')
    got = target.scrape(b'# TYPE a gauge\na{x="1"} 1\na{x="2"} 1\n# TYPE b counter\nb 1\n')
    assert got == {'a{__type__="gauge", x="1"}', 'a{__type__="gauge", x="2"}', 'b{__type__="counter"}'}


def test_a_known_line_under_another_type_is_another_series() -> None:
    target = Target()
    target.scrape(b"# TYPE a gauge\na 1\n")
    assert target.scrape(b"# TYPE a counter\na 1\n") == {'a{__type__="counter"}'}
    assert target.scrape(b"a 1\n") == {"a"}


def test_a_known_line_under_another_unit_is_another_series() -> None:
    target = Target()
    body = b"# TYPE a_s gauge\n# UNIT a_s s\na_s 1\n# EOF\n"
    assert target.scrape(body, Format.OPENMETRICS) == {'a_s{__type__="gauge", __unit__="s"}'}
    assert target.scrape(body.replace(b"# UNIT a_s s\n", b""), Format.OPENMETRICS) == {'a_s{__type__="gauge"}'}


def test_targets_that_share_lines_keep_their_types_apart() -> None:
    shared = Interner()
    first, second = Target(interner=shared), Target(interner=shared)
    for target in (first, second):
        assert target.scrape(b"# TYPE a gauge\na 1\nb 1\n") == {'a{__type__="gauge"}', 'b{__type__="gauge"}'}
    assert Target(interner=shared).scrape(b"# TYPE a counter\na 1\nc 1\n") == {
        'a{__type__="counter"}',
        'c{__type__="counter"}',
    }


def test_a_body_that_is_read_as_a_whole_has_types_too() -> None:
    assert Target().scrape(b'# TYPE a gauge\na{x="two\nlines"} 1\n') == {'a{__type__="gauge", x="two\\nlines"}'}


def test_the_page_of_a_target_shows_them() -> None:
    cache = ScrapeCache(Head(Demand.keep_all(300_000)), Labels.of(job="j"), ON)
    cache.ingest(b"# TYPE a_total counter\na_total 1\n", Format.TEXT, T0)
    lines = cache.exposed()
    unresolved = ExposedLines(lines.target, lines.rules, lines.fmt, lines.keys, [None], lines.comments)
    expected = Labels.of(__name__="a_total", __type__="counter", job="j")
    assert list(unresolved.series(["a_total"])) == [("a_total", expected)]
