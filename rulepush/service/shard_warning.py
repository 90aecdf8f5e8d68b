"""What is said when this process scrapes one shard: of rules in memory that mean every target, of relabelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rulepush.config.sections import ScrapeConfig
from rulepush.model.labels import INSTANCE
from rulepush.promql.syntax.ast import Aggregate, Call, Node, children
from rulepush.relabel.relabel import Action
from rulepush.rules.specs import RuleGroup
from rulepush.scrape.sharding import ScrapeSharding

_ABSENT: Final = ("absent", "absent_over_time")
_NAMED: Final = 5


def shard_warnings(
    sharding: ScrapeSharding, groups: Iterable[RuleGroup], jobs: Iterable[ScrapeConfig]
) -> Iterator[str]:
    """A line a matter. Rules of a datasource see what all shards send on, and are no matter."""
    rules = [rule for group in groups if not group.datasource for rule in group.rules]
    wide = [rule.name for rule in rules if _means_every_target(rule.query.root)]
    if wide:
        names = ", ".join(wide[:_NAMED]) + (", ..." if len(wide) > _NAMED else "")
        yield (
            f"--scrape.shard {sharding}: rules in memory see the targets of this shard only, and {len(wide)} of "
            f"{len(rules)} aggregate over targets or ask what is absent: {names}. Evaluate those on a datasource, "
            "where all shards send their samples"
        )
    by_hand = [job.job_name for job in jobs if any(c.action is Action.HASH_MOD for c in job.relabel_configs)]
    if by_hand:
        yield (
            f"--scrape.shard {sharding}: relabel_configs of job {', '.join(by_hand)} shard with hashmod as well: a "
            "target that either leaves to others is not scraped here. Remove hashmod and its keep rule"
        )


def _means_every_target(node: Node) -> bool:
    match node:
        case Aggregate(grouping=grouping, without=without) if (INSTANCE in grouping) is without:
            return True
        case Call(name=name) if name in _ABSENT:
            return True
    return any(map(_means_every_target, children(node)))
