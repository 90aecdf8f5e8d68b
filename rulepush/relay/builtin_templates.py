"""The built-in templates.

`default.*` is the default message: every alert with summary, description, labels, start, duration and links. It exists
in two languages and, because the products support different Markdown, in three dialects. `legacy.*`, `ding.link.*` and
the names with two underscores are those of prometheus-webhook-dingtalk, with the same output, so that templates built
on them keep working.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rulepush.relay.functions import FUNCTIONS
from rulepush.relay.settings import Language, RobotType
from rulepush.template import Template

COMPATIBLE: Final = r"""
{{- define "__subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] {{ .GroupLabels.SortedPairs.Values | join " " }}{{ if gt (len .CommonLabels) (len .GroupLabels) }} ({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join " " }}{{ end }}){{ end }}
{{- end }}
{{- define "__alertmanagerURL" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}{{ end }}
{{- define "__text_alert_list" }}{{ range . }}
**Labels**
{{ range .Labels.SortedPairs }}> - {{ .Name }}: {{ .Value | markdown | html }}
{{ end }}
**Annotations**
{{ range .Annotations.SortedPairs }}> - {{ .Name }}: {{ .Value | markdown | html }}
{{ end }}
**Source:** [{{ .GeneratorURL }}]({{ .GeneratorURL }})
{{ end }}{{ end }}
{{- define "default.__text_alert_list" }}{{ range . }}
#### \[{{ .Labels.severity | upper | markdown }}\] {{ .Annotations.summary | oneLine | markdown | html }}

**Description:** {{ .Annotations.description | markdown | html }}

**Graph:** [📈]({{ .GeneratorURL }})

**Details:**
{{ range .Labels.SortedPairs }}{{ if and (ne (.Name) "severity") (ne (.Name) "summary") }}> - {{ .Name }}: {{ .Value | markdown | html }}
{{ end }}{{ end }}
{{ end }}{{ end }}
{{- define "legacy.title" }}{{ template "__subject" . }}{{ end }}
{{- define "legacy.content" }}#### \[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}\] **[{{ index .GroupLabels "alertname" | markdown }}]({{ template "__alertmanagerURL" . }})**
{{ template "__text_alert_list" .Alerts.Firing }}{{ template "__text_alert_list" .Alerts.Resolved }}
{{ range .AtMobiles }}@{{ . }}{{ end }}
{{- end }}
{{- define "v2.title" }}{{ template "__subject" . }}{{ end }}
{{- define "v2.content" }}#### \[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}\] **[{{ index .GroupLabels "alertname" | markdown }}]({{ template "__alertmanagerURL" . }})**
{{ if gt (len .Alerts.Firing) 0 -}}
**Alerts Firing**
{{ template "default.__text_alert_list" .Alerts.Firing }}
{{ range .AtMobiles }}@{{ . }}{{ end }}
{{- end }}
{{ if gt (len .Alerts.Resolved) 0 -}}
**Alerts Resolved**
{{ template "default.__text_alert_list" .Alerts.Resolved }}
{{ range .AtMobiles }}@{{ . }}{{ end }}
{{- end }}
{{- end }}
{{- define "ding.link.title" }}{{ template "default.title" . }}{{ end }}
{{- define "ding.link.content" }}{{ template "default.content" . }}{{ end }}
"""  # noqa: E501

_DEFAULT: Final = r"""
{{- define "default.title" -}}
{{ with .Alerts.Firing }}«FIRING_N»{{ len . }}«N_END»{{ end -}}
{{ with .Alerts.Resolved }}«RESOLVED_N»{{ len . }}«N_END»{{ end }} {{ template "rulepush.subject" . }}
{{- end }}
{{- define "rulepush.subject" -}}
{{ with .GroupLabels.SortedPairs.Values }}{{ . | join " " }}{{ else }}{{ with .CommonLabels.alertname }}{{ . }}{{ else }}«ALERTS»{{ end }}{{ end }}
{{- end }}
{{- define "rulepush.heading" -}}
{{ with .GroupLabels.SortedPairs.Values }}{{ . | join " " «ESCAPE»}}{{ else }}{{ with .CommonLabels.alertname }}{{ . «ESCAPE»}}{{ else }}«ALERTS»{{ end }}{{ end }}
{{- end }}
{{- define "rulepush.alert" -}}
«STRONG»{{ with «SUMMARY» }}{{ . «ESCAPE»}}{{ else }}{{ .Labels.alertname «ESCAPE»}}{{ end }}«STRONG»{{ with .Labels.severity }} ({{ . «ESCAPE»}}){{ end }}«BR»
{{- with «DESCRIPTION» }}{{ . «ESCAPE»}}«BR»{{ end }}
{{- with .Annotations.message }}{{ . «ESCAPE»}}«BR»{{ end }}
{{- $runbook := «STEPS» }}{{ if and $runbook (eq .Status "firing") (not (match "^https?://" $runbook)) }}«TODO»{{ $runbook «ESCAPE»}}«BR»{{ end }}
{{- "" }}«QUOTE»{{ range $i, $p := .Labels.SortedPairs }}{{ if ne $p.Name "severity" }}{{ if $i }}, {{ end }}{{ $p.Name «ESCAPE»}}={{ $p.Value | oneLine «ESCAPE»}}{{ end }}{{ end }}«BR»
{{- "" }}«QUOTE»«SINCE» {{ .Began }}{{ with .Ended }}, «UNTIL» {{ . }}{{ end }}, «LASTED» {{ .Lasted }}«BR»
{{- if or (link .GeneratorURL) (link .Annotations.runbook_url) (link .Annotations.dashboard_url) }}«QUOTE»
{{- with link .GeneratorURL }}[«GRAPH»]({{ . }}) {{ end }}
{{- with link .Annotations.runbook_url }}[«RUNBOOK»]({{ . }}) {{ end }}
{{- with link .Annotations.dashboard_url }}[«DASHBOARD»]({{ . }}) {{ end }}«BR»{{ end }}
{{- end }}
{{- define "default.content" -}}
«TITLE»{{ "" -}}
{{ with .Alerts.Firing }}«HEAD»«FIRING_HEAD» ({{ len . }})«HEAD_END»{{ range . }}{{ template "rulepush.alert" . }}
«PARAGRAPH»{{ end }}{{ end }}
{{- with .Alerts.Resolved }}«HEAD»«RESOLVED_HEAD» ({{ len . }})«HEAD_END»{{ range . }}{{ template "rulepush.alert" . }}
«PARAGRAPH»{{ end }}{{ end }}
{{- with .TruncatedAlerts }}«TRUNCATED»{{ . }}«BR»{{ end }}
{{- if .ExternalURL }}[«ALERTMANAGER»]({{ template "__alertmanagerURL" . }}){{ end }}
{{- end }}
"""  # noqa: E501

_WORDS: Final = {
    Language.EN: {
        "FIRING_N": "[FIRING:",
        "RESOLVED_N": "[RESOLVED:",
        "N_END": "]",
        "ALERTS": "alerts",
        "FIRING_HEAD": "🔥 Firing",
        "RESOLVED_HEAD": "✅ Resolved",
        "SUMMARY": ".Annotations.summary",
        "DESCRIPTION": ".Annotations.description",
        "STEPS": ".Annotations.runbook",
        "TODO": "Runbook: ",
        "SINCE": "since",
        "UNTIL": "until",
        "LASTED": "lasted",
        "GRAPH": "graph",
        "RUNBOOK": "runbook",
        "DASHBOARD": "dashboard",
        "TRUNCATED": "Alerts that Alertmanager left out: ",
        "ALERTMANAGER": "Open Alertmanager",
    },
    Language.ZH: {
        "FIRING_N": "【告警 ",
        "RESOLVED_N": "【恢复 ",
        "N_END": "】",
        "ALERTS": "告警",
        "FIRING_HEAD": "🔥 告警中",
        "RESOLVED_HEAD": "✅ 已恢复",
        "SUMMARY": "or .Annotations.summary_zh .Annotations.summary",
        "DESCRIPTION": "or .Annotations.description_zh .Annotations.description",
        "STEPS": "or .Annotations.runbook_zh .Annotations.runbook",
        "TODO": "处理：",
        "SINCE": "开始",
        "UNTIL": "结束",
        "LASTED": "持续",
        "GRAPH": "查看图表",
        "RUNBOOK": "处理手册",
        "DASHBOARD": "仪表盘",
        "TRUNCATED": "Alertmanager 省略的告警数：",
        "ALERTMANAGER": "打开 Alertmanager",
    },
}


@dataclass(frozen=True, slots=True)
class MarkupDialect:
    """How a product writes a heading (before and after), a line break, a paragraph, a quoted line, bold text."""

    head: str
    head_end: str
    line_break: str
    paragraph: str
    quote: str
    escape: str  # the stage of a pipeline that escapes a text
    title: str = ""  # a template for the first line, where the product does not show the message's title
    strong: str = "**"


DIALECTS: Final = {
    # DingTalk needs two spaces or an empty line for a new line, and an empty line to end a quotation.
    RobotType.DINGTALK: MarkupDialect(
        "#### ",
        "\n\n",
        "  \n",
        "\n",
        "> ",
        '| dingtalkText | replace "\\n" "  \\n" ',
        '### {{ template "rulepush.heading" . }}{{ "\\n\\n" }}',
    ),
    RobotType.FEISHU: MarkupDialect("**", "**\n", "\n", "\n", "", "| feishuText "),
    RobotType.WECOM: MarkupDialect("#### ", "\n", "\n", "\n", ">", "| wecomText "),
}


@lru_cache(maxsize=16)
def builtin_templates(language: Language, robot_type: RobotType) -> Template:
    """All built-in templates for one language and product."""
    return Template.parse(COMPATIBLE + _default_text(language, DIALECTS[robot_type]), FUNCTIONS, "builtin")


def _default_text(language: Language, dialect: MarkupDialect) -> str:
    text = _DEFAULT.replace("«TITLE»", dialect.title).replace("«ESCAPE»", dialect.escape)
    for word, shown in _WORDS[language].items():
        text = text.replace(f"«{word}»", shown)
    for mark, shown in (
        ("HEAD", dialect.head),
        ("HEAD_END", dialect.head_end),
        ("BR", dialect.line_break),
        ("PARAGRAPH", dialect.paragraph),
        ("QUOTE", dialect.quote),
        ("STRONG", dialect.strong),
    ):
        # As a constant of the template: trimming around actions must not remove its spaces and newlines.
        text = text.replace(f"«{mark}»", '{{ "' + shown.replace("\n", "\\n") + '" }}' if shown else "")
    return text
