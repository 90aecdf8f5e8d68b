"""What a target exposes, wanted by a rule or not: from the lines of its last good body. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.errors import ExpositionError, ScrapeError
from rulepush.exposition import FamilyMetadata, Format, parse_body, parse_line
from rulepush.exposition.type_and_unit import with_type_and_unit
from rulepush.model.labels import Labels
from rulepush.scrape.sample_labels import SampleRules, sample_labels

_SUFFIXES: Final = ("", "_total", "_bucket", "_count", "_sum", "_created", "_info")


@dataclass(frozen=True, slots=True)
class ExposedLines:
    """The lines of a body: `keys` without their values, `labels` the final ones of each key, None where nobody has made
    them yet; `comments` as they are. To be read in any thread."""

    target: Labels
    rules: SampleRules
    fmt: Format
    keys: Sequence[bytes]
    labels: Sequence[Labels | None]
    comments: Sequence[bytes]

    def series(self, names: Collection[str], met: set[bytes] | None = None) -> Iterator[tuple[str, Labels | None]]:
        """(metric name in the body, final labels; None when metric_relabel_configs drops it): all series of these
        metrics, and of every other metric its first one, unless it was `met` before, in another body."""
        met = set() if met is None else met
        wanted = {name.encode() for name in names}
        families = self.families() if self.rules.type_and_unit_labels else {}
        for key, known in zip(self.keys, self.labels, strict=True):
            name = key.partition(b"{")[0].strip()
            if name in met and name not in wanted:
                continue
            if known is not None and name:
                met.add(name)
                yield name.decode(), known
                continue
            try:
                sample = parse_line(key + b" 0", self.fmt)
                if sample is None:
                    continue
                pairs = _with_metadata(sample.pairs, sample.name, families) if families else sample.pairs
                labels = sample_labels(pairs, self.target, self.rules)
            except (ExpositionError, ScrapeError):
                continue
            if name:  # else it stands in the braces
                met.add(name)
            yield sample.name, labels

    def families(self) -> dict[str, FamilyMetadata]:
        """TYPE, HELP and UNIT by metric family."""
        tail = [b"# EOF"] if self.fmt is Format.OPENMETRICS else []
        try:
            return parse_body(b"\n".join([*self.comments, *tail]) + b"\n", self.fmt).metadata
        except ExpositionError:  # a comment that only looks like one, inside a quoted string with newlines
            return {}


def _with_metadata(
    pairs: tuple[tuple[str, str], ...], name: str, families: Mapping[str, FamilyMetadata]
) -> tuple[tuple[str, str], ...]:
    """The pairs with type and unit of the family that the name tells: where the line stood is not known any more."""
    bases = (name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix))
    family = next((families[base] for base in bases if base in families), None)
    return pairs if family is None else with_type_and_unit(pairs, family.type, family.unit)
