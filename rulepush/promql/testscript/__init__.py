"""The language of Prometheus' own PromQL tests (promql/promqltest): `load`, `eval`, `expect`.

`run_script` runs a file; `rulepush test promql` prints what it reports.
"""

from rulepush.promql.testscript.runner import CaseResult, Outcome, run_script

__all__ = ["CaseResult", "Outcome", "run_script"]
