"""Prometheus' functions, variables and errors, against what promtool answered."""

from __future__ import annotations

import pytest

from rulepush.gotext.errors import TemplateError
from rulepush.template import check_alert_template
from tests.template.alerts import expand
from tests.template.cases import HERE, Case, read_cases


@pytest.mark.parametrize("case", read_cases(HERE / "prometheus.cases"), ids=lambda case: case.template)
def test_an_annotation_reads_as_under_prometheus(case: Case) -> None:
    if case.fails:
        with pytest.raises(TemplateError) as caught:
            check_alert_template(case.template, "A")
        assert str(caught.value) == case.expected
    else:
        check_alert_template(case.template, "A")
        assert expand(case.template) == case.expected
