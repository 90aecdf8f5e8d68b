"""Go's text/template as alert templates use it, with Prometheus' functions."""

from rulepush.template.alert import AlertTemplateData, check_alert_template, expand_alert_template, literal_queries
from rulepush.template.limits import Limits, TemplateLimitError
from rulepush.template.pipelines import TemplateSyntaxError
from rulepush.template.template import Template

__all__ = [
    "AlertTemplateData",
    "Limits",
    "Template",
    "TemplateLimitError",
    "TemplateSyntaxError",
    "check_alert_template",
    "expand_alert_template",
    "literal_queries",
]
