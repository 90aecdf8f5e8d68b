from __future__ import annotations

import json

import pytest

from rulepush.errors import ExpositionError
from rulepush.exposition.strict import check_openmetrics
from tests.needs import shared


def test_every_case_gets_the_verdict_of_the_specification() -> None:
    wrong = []
    for case in sorted(shared("conformance/openmetrics").iterdir()):
        expected = json.loads((case / "test.json").read_text())["shouldParse"]
        try:
            check_openmetrics((case / "metrics").read_bytes())
            accepted = True
        except ExpositionError:
            accepted = False
        if accepted is not expected:
            wrong.append(case.name)
    assert wrong == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"# TYPE a counter\na_total 1\na_total x\n# EOF\n", 3),
        (b"# TYPE a counter\na_total -1\n# EOF\n", 2),
        (b"# TYPE a histogram\na_count 1\na_sum 1\n# EOF\n", 4),  # shown by the end of the family
        (b"a 1\n", 1),
        (b"a 1\nb \xff\n# EOF\n", 2),
        (b"", 1),
    ],
)
def test_a_breach_has_its_line(body: bytes, line: int) -> None:
    with pytest.raises(ExpositionError) as e:
        check_openmetrics(body)
    assert e.value.line == line


def test_samples_and_families_are_counted() -> None:
    body = b'# TYPE a histogram\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 2\na_count 2\na_sum 3\n' + b"b 1\n# EOF\n"
    assert check_openmetrics(body) == (5, 2)
