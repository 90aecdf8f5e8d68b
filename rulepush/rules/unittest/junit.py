"""The results as JUnit XML, as promtool writes it (util/junitxml)."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from rulepush.rules.unittest.runner import TestReport


def junit_xml(reports: Iterable[TestReport], timestamp: str) -> bytes:
    """A `testsuites` document; `timestamp` is ISO 8601."""
    root = ElementTree.Element("testsuites")
    for report in reports:
        failures = sum(len(result.failures) for result in report.results)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=report.file,
            tests=str(len(report.results)),
            failures=str(failures),
            errors=str(len(report.problems)),
            skipped="0",
            timestamp=timestamp,
        )
        if report.problems:
            case = ElementTree.SubElement(suite, "testcase", name="overall")
            ElementTree.SubElement(case, "error").text = _clean("\n".join(report.problems))
        for result in report.results:
            case = ElementTree.SubElement(suite, "testcase", name=_clean(result.scenario.title))
            for text in result.failures:
                ElementTree.SubElement(case, "failure").text = _clean(text)
    ElementTree.indent(root)
    body: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(c if c >= " " or c in "\n\t\r" else "�" for c in text)
