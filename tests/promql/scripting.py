"""Test scripts inside of tests."""

from __future__ import annotations

from rulepush.promql.testscript import CaseOutcome, CaseResult, run_script


def results(text: str) -> list[CaseResult]:
    """The results of a script; its lines may be indented."""
    return list(run_script(text))


def failures(text: str) -> list[CaseResult]:
    """The cases that did not pass."""
    found = results(text)
    assert found, "no case"
    return [result for result in found if result.outcome is not CaseOutcome.PASSED]
