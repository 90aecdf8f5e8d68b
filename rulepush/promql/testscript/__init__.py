"""The language of Prometheus' own PromQL tests (promql/promqltest): `load`, `eval`, `expect`.

`run_script` runs a file; `rulepush test promql` prints what it reports.
"""

from rulepush.promql.testscript.runner import CaseOutcome, CaseResult, run_script

__all__ = ["CaseOutcome", "CaseResult", "run_script"]
