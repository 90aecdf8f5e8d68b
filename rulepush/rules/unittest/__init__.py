"""Unit tests of rules in promtool's format. Source: prometheus cmd/promtool/unittest.go.

`load_test_file` reads a file, `run_test_file` runs it; the rules are evaluated by the same code as in the service.
"""

from rulepush.rules.unittest.runner import ScenarioResult, TestReport, run_test_file
from rulepush.rules.unittest.testfile import UnitTestFile, load_test_file

__all__ = ["ScenarioResult", "TestReport", "UnitTestFile", "load_test_file", "run_test_file"]
