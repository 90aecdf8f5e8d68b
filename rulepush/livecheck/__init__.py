"""`check live`: checks rules against what the targets really expose. Pure, except for `fetch`.

A scrape goes into LiveData, rules come as LiveRules, and `analyse` returns a LiveReport of frozen Findings. Each check
is one function of a rule and LiveData; they are listed in analyse.CHECKS.
"""

from rulepush.livecheck.analyse import LiveReport, RuleReport, analyse
from rulepush.livecheck.finding import Finding, FindingKind, Level
from rulepush.livecheck.rules import LiveRule, live_rules
from rulepush.livecheck.seen import LiveData, Scrape, SilentJob, TargetScrapes
from rulepush.nacos.diagnose import TargetProblem

__all__ = [
    "Finding",
    "FindingKind",
    "Level",
    "LiveData",
    "LiveReport",
    "LiveRule",
    "RuleReport",
    "Scrape",
    "SilentJob",
    "TargetProblem",
    "TargetScrapes",
    "analyse",
    "live_rules",
]
