"""Backtest: what rules would have done with samples that are recorded."""

from rulepush.backtest.backtest import BacktestOptions, Progress, backtest, backtests
from rulepush.backtest.compare import Comparison, MovedEpisode, compare
from rulepush.backtest.episodes import Episode, RuleFailure, RulePlace
from rulepush.backtest.replay import Replay, ReplayOptions
from rulepush.backtest.report import BacktestReport, Caveat, CaveatKind, MissingSeries, RuleSummary, Stopped
from rulepush.backtest.source import EventSource
from rulepush.backtest.timetable import Survey

__all__ = [
    "BacktestOptions",
    "BacktestReport",
    "Caveat",
    "CaveatKind",
    "Comparison",
    "Episode",
    "EventSource",
    "MissingSeries",
    "MovedEpisode",
    "Progress",
    "Replay",
    "ReplayOptions",
    "RuleFailure",
    "RulePlace",
    "RuleSummary",
    "Stopped",
    "Survey",
    "backtest",
    "backtests",
    "compare",
]
