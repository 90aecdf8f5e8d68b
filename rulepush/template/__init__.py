"""Go's text/template as alert templates use it, with Prometheus' functions."""

from rulepush.gotext.errors import TemplateError, TemplateLimitError, TemplateSyntaxError
from rulepush.gotext.limits import TemplateLimits
from rulepush.gotext.template import Template
from rulepush.template.alert import AlertTemplateData, check_alert_template, expand_alert_template
from rulepush.template.queries import UNKNOWN_NUMBER, UNKNOWN_TEXT, TemplateQueries, template_queries

__all__ = [
    "UNKNOWN_NUMBER",
    "UNKNOWN_TEXT",
    "AlertTemplateData",
    "Template",
    "TemplateError",
    "TemplateLimitError",
    "TemplateLimits",
    "TemplateQueries",
    "TemplateSyntaxError",
    "check_alert_template",
    "expand_alert_template",
    "template_queries",
]
