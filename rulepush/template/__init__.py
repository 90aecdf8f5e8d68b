"""Go's text/template as alert templates use it, with Prometheus' functions."""

from rulepush.gotext.errors import TemplateError, TemplateLimitError, TemplateSyntaxError
from rulepush.gotext.limits import TemplateLimits
from rulepush.gotext.template import Template
from rulepush.template.alert import AlertTemplateData, check_alert_template, expand_alert_template, literal_queries

__all__ = [
    "AlertTemplateData",
    "Template",
    "TemplateError",
    "TemplateLimitError",
    "TemplateLimits",
    "TemplateSyntaxError",
    "check_alert_template",
    "expand_alert_template",
    "literal_queries",
]
