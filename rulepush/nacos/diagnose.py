"""Why a target gave no metrics: what the answer means, and which setting to change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rulepush.nacos.releases import WITHOUT_METRICS, parse_release

METRICS: Final = "/actuator/prometheus"
NACOS_PATH: Final = "/nacos" + METRICS
_HOW: Final = (
    "Nacos does not expose its metrics by default: set management.endpoints.web.exposure.include=prometheus in "
    "conf/application.properties, or MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE=prometheus in the environment of its "
    "container, and restart it."
)


_STATUS: Final = re.compile(r"server returned HTTP status (\d+)")
_CONTENT_TYPE: Final = re.compile(r'Content-Type "(.*)" and no fallback_scrape_protocol')
_REQUEST: Final = re.compile(r'Get "[^"]*": ')  # how the text of a failed request begins
_FAILS_WHOLE: Final = "It makes the scrape fail whole: "


def _named(release: tuple[int, int, int]) -> str:
    return ".".join(map(str, release))


_WITHOUT: Final = (
    " "
    + " and ".join(_named(release) for release in WITHOUT_METRICS)
    + " were built without this endpoint and always answer 404: upgrade to "
    + ", ".join(WITHOUT_METRICS.values())
    + "."
)


@dataclass(frozen=True, slots=True)
class TargetProblem:
    """Why a target gave no metrics, and what to change."""

    message: str
    suggestion: str = ""


def diagnose_scrape(url: str, error: str, version: str = "") -> TargetProblem:
    """What the error of a failed scrape means, as a target's status and `lastError` of the API have it."""
    if (status := _STATUS.match(error)) is not None:
        return diagnose_status(url, int(status[1]), version)
    if (content_type := _CONTENT_TYPE.search(error)) is not None:
        answer = diagnose_answer(url, content_type[1], b"?")
        return answer or TargetProblem(error, f"{_FAILS_WHOLE}`rulepush check metrics` says more.")
    if "blank Content-Type" in error:
        return TargetProblem(error, "Set fallback_scrape_protocol: PrometheusText0.0.4 in the job.")
    if error.startswith("target_limit exceeded"):
        return TargetProblem(error, "It makes all scrapes of this job fail: raise target_limit.")
    if error.startswith("sample limit exceeded"):
        return TargetProblem(error, f"{_FAILS_WHOLE}drop more by metric_relabel_configs.")
    if error.startswith(("label_", "internal error")):
        return TargetProblem(error)
    if error.startswith("line "):
        return TargetProblem(error, f"{_FAILS_WHOLE}`rulepush check metrics` says more.")
    return diagnose_error(_REQUEST.sub("", error, count=1))


def diagnose_status(url: str, status: int, version: str = "") -> TargetProblem:
    """What a status other than 200 means. `version`: of that Nacos, "" when unknown."""
    parts = urlsplit(url)
    if status == 404:
        return TargetProblem(f"HTTP 404 at {parts.path}", _not_found(parts.path, parts.port, version))
    if status in (401, 403):
        return TargetProblem(f"HTTP {status}: credentials are needed", _credentials(parts.path))
    if status == 400 and parts.scheme == "http":
        return TargetProblem("HTTP 400", "A server that wants https answers so to http: try scheme: https.")
    if status in (502, 503):
        return TargetProblem(f"HTTP {status}: a proxy answers, the server behind it does not", "Is the server running?")
    return TargetProblem(f"HTTP status {status}", "The log of the server says why." if status >= 500 else "")


def diagnose_answer(url: str, content_type: str, body: bytes) -> TargetProblem | None:
    """What an answer of status 200 without metrics means; None when it may be metrics."""
    parts = urlsplit(url)
    if "html" in content_type.lower() or body.lstrip()[:1] == b"<":
        return TargetProblem(
            "HTTP 200 with a web page instead of metrics",
            "A gateway or login page stands between, or the path is wrong: ask the server itself, at "
            f"http://HOST:8848{NACOS_PATH} for Nacos.",
        )
    if "json" in content_type.lower():
        return TargetProblem("HTTP 200 with JSON instead of metrics", _json(parts.path))
    if not body.strip():
        return TargetProblem("HTTP 200 with an empty body", "Is a filter such as includedNames in the parameters?")
    return None


def _not_found(path: str, port: int | None, version: str) -> str:
    release = parse_release(version)
    if release in WITHOUT_METRICS:
        return (
            f"This is Nacos {version}, which was built without this endpoint: no setting brings it. Upgrade to "
            f"{WITHOUT_METRICS[release]} or later."
        )
    if path == NACOS_PATH or (release and path.endswith(METRICS)):
        console = " Port 8080 of Nacos 3.x is its console: metrics are on 8848." if port == 8080 else ""
        return _HOW + (_WITHOUT if release is None else f" It is Nacos {version}.") + console
    if path.endswith(METRICS):
        return (
            f"For Nacos the path is {NACOS_PATH}. A Spring Boot application needs the dependency "
            "micrometer-registry-prometheus and management.endpoints.web.exposure.include=prometheus."
        )
    return f"Set metrics_path: {NACOS_PATH} for Nacos, /actuator/prometheus for Spring Boot."


def _credentials(path: str) -> str:
    if path == "/nacos/prometheus":
        return "This path lists instances, it has no metrics of the server: use metrics_path: " + NACOS_PATH
    return (
        "Nacos itself asks for none here while nacos.security.ignore.urls holds /actuator/**. For a proxy in front, "
        "add basic_auth or authorization to the scrape job (check live --target: http://USER:PASSWORD@HOST)."
    )


def _json(path: str) -> str:
    if path.startswith("/nacos/prometheus"):
        return (
            "nacos.prometheus.metrics.enabled=true gives service discovery for http_sd_configs, not metrics: "
            f"use metrics_path: {NACOS_PATH}"
        )
    return f"Set metrics_path: {NACOS_PATH} for Nacos, /actuator/prometheus for Spring Boot."


def diagnose_error(error: str) -> TargetProblem:
    """A connection that failed, or an answer that could not be read."""
    lowered = error.lower()
    if "verify certificate" in lowered:
        return TargetProblem(
            error,
            "Give the job the certificate that signed it: tls_config.ca_file, and server_name if it is for another "
            "name; or insecure_skip_verify: true.",
        )
    if lowered.startswith("tls: ") and ("version number" in lowered or "unknown protocol" in lowered):
        return TargetProblem(error, "It does not speak TLS there: scheme: http is meant.")
    if "reset by peer" in lowered or "disconnected without" in lowered or "peer closed connection" in lowered:
        return TargetProblem(error, "It closed the connection: does it want https (scheme: https), or did it restart?")
    if "body size limit" in lowered:
        return TargetProblem(error, "Raise body_size_limit, or let the target answer less (includedNames).")
    if "refused" in lowered:
        return TargetProblem(error, "Nothing listens there: is the server running, and is it this port (Nacos: 8848)?")
    if "deadline" in lowered or "timed out" in lowered:
        return TargetProblem(
            error, "A firewall that drops packets, or a server that hangs; raise scrape_timeout if it is slow."
        )
    if "name or service not known" in lowered or "resolution" in lowered or "no address associated" in lowered:
        return TargetProblem(error, "The name does not resolve from here.")
    return TargetProblem(error)
