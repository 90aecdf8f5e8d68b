"""What `check live` knows: rules held against what the targets really answer. Pure, except for fetch.

A scrape goes into a Seen, rules come as LiveRules, and `analyse` returns a Report of frozen Findings. Each check is one
function of a rule and a Seen; they are listed in analyse.CHECKS.
"""

from rulepush.live.analyse import Report, RuleReport, analyse
from rulepush.live.finding import Finding, Kind, Level
from rulepush.live.rules import LiveRule, live_rules
from rulepush.live.seen import Answer, Scrape, Seen, SilentJob, Trouble

__all__ = [
    "Answer",
    "Finding",
    "Kind",
    "Level",
    "LiveRule",
    "Report",
    "RuleReport",
    "Scrape",
    "Seen",
    "SilentJob",
    "Trouble",
    "analyse",
    "live_rules",
]
