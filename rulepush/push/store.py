"""The pushed groups on disk: one row a group in `push.db`, so that a restart loses nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final

from rulepush.exposition.families import FamilyType, Metric, MetricFamily
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.push.group import PushedFamily, PushedGroup
from rulepush.push.url import GroupKey
from rulepush.slices import Slices, at_once
from rulepush.storage.database import Database

log = logging.getLogger("rulepush.push")

_METRICS_A_SLICE: Final = 50
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS pushed_groups (key TEXT PRIMARY KEY, content TEXT NOT NULL)"


class SqliteGroupStore:
    """A GroupStore in one SQLite file, in memory when `path` is None. A corrupt file is renamed and reported."""

    def __init__(self, path: Path | None):
        self._db = Database(path, _SCHEMA)

    def load(self) -> list[PushedGroup]:
        """All groups, in the order in which they were first saved. Raises StorageError."""
        groups = []
        for key, content in self._db.read("SELECT key, content FROM pushed_groups ORDER BY rowid"):
            try:
                groups.append(decode_group(content))
            except (ValueError, KeyError, TypeError, InvalidHistogram) as e:
                log.error("a saved group cannot be read and is left out: group=%s err=%s", key, e)
        return groups

    def save(self, group: PushedGroup) -> Slices[None]:
        """Write one group, encoded in slices. Raises StorageError."""
        sql = (
            "INSERT INTO pushed_groups (key, content) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET content = excluded.content"
        )
        content = yield from _encoded(group)
        self._db.write([(sql, [(_key_text(group.key), content)])])

    def delete(self, key: GroupKey) -> None:
        """Remove one group. Raises StorageError."""
        self._db.write([("DELETE FROM pushed_groups WHERE key = ?", [(_key_text(key),)])])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def encode_group(group: PushedGroup) -> str:
    """A group as JSON text (with Python's NaN and Infinity, so only Python reads it back)."""
    return at_once(_encoded(group))


def _encoded(group: PushedGroup) -> Slices[str]:
    families = []
    for pushed in group.families.values():
        family = pushed.family
        about = {"name": family.name, "type": family.type.value, "help": family.help, "pushed_at": pushed.pushed_at}
        metrics = []
        for start in range(0, max(len(family.metrics), 1), _METRICS_A_SLICE):
            some = [_metric_content(m) for m in family.metrics[start : start + _METRICS_A_SLICE]]
            metrics.append(_json(some)[1:-1])
            yield
        families.append(f'{_json(about)[:-1]},"metrics":[{",".join(metrics)}]}}')
    about_group = {
        "key": group.key,
        "pushed_at": group.pushed_at,
        "failed_at": group.failed_at,
        "ttl_ms": group.ttl_ms,
        "renewed_at": group.renewed_at,
    }
    return f'{_json(about_group)[:-1]},"families":[{",".join(families)}]}}'


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def decode_group(text: str) -> PushedGroup:
    """The inverse. Raises ValueError, KeyError, TypeError or InvalidHistogram."""
    content = json.loads(text)
    families = {f["name"]: PushedFamily(_family(f), int(f["pushed_at"])) for f in content["families"]}
    key = tuple((str(n), str(v)) for n, v in content["key"])
    ttl = content["ttl_ms"]
    pushed_at = int(content["pushed_at"])
    renewed_at = int(content.get("renewed_at", pushed_at))  # files from before 1.1 do not have it
    return PushedGroup(
        key, families, pushed_at, int(content["failed_at"]), None if ttl is None else int(ttl), renewed_at
    )


def _metric_content(metric: Metric) -> list[Any]:
    content: list[Any] = [metric.pairs, metric.value, metric.count, metric.parts]
    native = metric.native
    if native is not None:  # older versions read what has none
        sides = [[side.spans(), side.counts.tolist()] for side in (native.positive, native.negative)]
        numbers = [native.schema, native.count, native.sum, native.zero_threshold, native.zero_count]
        content.append([*numbers, *sides, native.counter_reset_hint])
    return content


def _metric(pairs: Any, value: Any, count: Any, parts: Any, native: Any = None) -> Metric:
    return Metric(
        tuple((str(n), str(v)) for n, v in pairs),
        float(value),
        float(count),
        tuple((float(bound), float(part)) for bound, part in parts),
        None if native is None else _native(*native),
    )


def _native(
    schema: Any, count: Any, total: Any, zero_threshold: Any, zero_count: Any, positive: Any, negative: Any, hint: Any
) -> FloatHistogram:
    """Raises InvalidHistogram beside what `decode_group` does."""
    return FloatHistogram(
        schema=int(schema),
        count=float(count),
        sum=float(total),
        zero_threshold=float(zero_threshold),
        zero_count=float(zero_count),
        positive=_side(*positive),
        negative=_side(*negative),
        counter_reset_hint=CounterResetHint(hint),
    )


def _side(spans: Any, counts: Any) -> Buckets:
    return Buckets.from_spans([(int(offset), int(length)) for offset, length in spans], [float(c) for c in counts])


def _family(content: dict[str, Any]) -> MetricFamily:
    metrics = tuple(_metric(*row) for row in content["metrics"])
    return MetricFamily(str(content["name"]), FamilyType(content["type"]), str(content["help"]), metrics)


def _key_text(key: GroupKey) -> str:
    return json.dumps(key, ensure_ascii=False)
