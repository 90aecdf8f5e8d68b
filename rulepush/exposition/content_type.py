"""Which parser a Content-Type asks for, with Prometheus 3's rules on unknown ones (model/textparse/interface.go)."""

from __future__ import annotations

import re
from typing import Final

from rulepush.errors import ScrapeError
from rulepush.exposition.entries import Format

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_TYPE: Final = re.compile(
    rf'\s*({_TOKEN}/{_TOKEN})\s*((?:;\s*(?:{_TOKEN}\s*=\s*(?:{_TOKEN}|"(?:[^"\\]|\\.)*")\s*)?)*)'
)

_PARAMETER: Final = re.compile(rf';\s*({_TOKEN})\s*=\s*({_TOKEN}|"(?:[^"\\]|\\.)*")')

# The values of `fallback_scrape_protocol` and `scrape_protocols`, and what they are sent and read as.
PROTOCOL_FORMATS: Final = {
    "PrometheusProto": Format.PROTOBUF,
    "PrometheusText0.0.4": Format.TEXT,
    "PrometheusText1.0.0": Format.TEXT,
    "OpenMetricsText0.0.1": Format.OPENMETRICS,
    "OpenMetricsText1.0.0": Format.OPENMETRICS,
}


def split_content_type(content_type: str) -> tuple[str, dict[str, str]]:
    """The media type and its parameters, names in lower case; ("", {}) when it is none, as Go's mime.ParseMediaType."""
    found = _MEDIA_TYPE.fullmatch(content_type)
    if found is None:
        return "", {}
    pairs = [(name.lower(), text) for name, text in _PARAMETER.findall(found[2])]
    if len(dict(pairs)) < len(pairs):  # a parameter twice
        return "", {}
    unquoted = {n: re.sub(r"\\(.)", r"\1", t[1:-1]) if t.startswith('"') else t for n, t in pairs}
    return found[1].lower(), unquoted


def choose_format(content_type: str, fallback: Format | None) -> Format:
    """The format to parse a body with. Raises ScrapeError in Prometheus' words when there is none."""
    if not content_type:
        if fallback is None:
            raise ScrapeError(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified"
                " for target"
            )
        return fallback
    found = _MEDIA_TYPE.fullmatch(content_type)
    for known in Format:
        if found is not None and found[1].lower() == known.value:
            return known
    if fallback is not None:
        return fallback
    wrong = "cannot parse" if found is None else "received unsupported"
    raise ScrapeError(
        f'{wrong} Content-Type "{content_type}" and no fallback_scrape_protocol specified for target'
        + _hint(content_type)
    )


def _hint(content_type: str) -> str:
    """What it means in practice: a gateway's or an application's page instead of metrics."""
    if "html" in content_type.lower():
        return "; this is a web page: check metrics_path (Nacos: /nacos/actuator/prometheus) and any proxy in between"
    if "json" in content_type.lower():
        return "; JSON is not an exposition: check metrics_path (Nacos: /nacos/actuator/prometheus)"
    return ""
