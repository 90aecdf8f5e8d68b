"""Why a target gave no metrics: what the answer means, and which setting to change.

The advice fits what was asked, as far as the URL tells: a Nacos server, a Spring Boot application, or anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from rulepush.nacos.releases import WITHOUT_METRICS, parse_release

METRICS: Final = "/actuator/prometheus"
NACOS_PATH: Final = "/nacos" + METRICS
ACTUATOR: Final = "/actuator"
_NACOS_PORT: Final = 8848
_STATUS: Final = re.compile(r"server returned HTTP status (\d+)")
_CONTENT_TYPE: Final = re.compile(r'Content-Type "(.*)" and no fallback_scrape_protocol')
_REQUEST: Final = re.compile(r'Get "[^"]*": ')  # how the text of a failed request begins

# What to do, each a text of its own, so that it can be translated whole.
_HTTPS: Final = "A server that wants https answers so to http: try scheme: https."
_CREDENTIALS: Final = (
    "Credentials are needed. Nacos itself asks for none here while nacos.security.ignore.urls holds /actuator/**. For "
    "a proxy in front, add basic_auth or authorization to the scrape job (check live --target: "
    "http://USER:PASSWORD@HOST)."
)
_BOOT_CREDENTIALS: Final = (
    'Spring Security refuses it: permit the path there (EndpointRequest.to("prometheus")), or give the scrape job the '
    "credentials of a user who may read it, with basic_auth or authorization (check live --target: "
    "http://USER:PASSWORD@HOST)."
)
_ANY_CREDENTIALS: Final = (
    "Give the scrape job the credentials of a user who may read it, with basic_auth or authorization (check live "
    "--target: http://USER:PASSWORD@HOST)."
)
_NOT_METRICS: Final = f"This path lists instances, it has no metrics of the server: use metrics_path: {NACOS_PATH}"
_DISCOVERY: Final = (
    "nacos.prometheus.metrics.enabled=true gives service discovery for http_sd_configs, not metrics: "
    f"use metrics_path: {NACOS_PATH}"
)
_PROXY: Final = "A proxy answers, and the server behind it does not: is it running?"
_SERVER_LOG: Final = "The log of the server says why."
_LOGIN_PAGE: Final = (
    "A gateway or login page stands between, or the path is wrong: ask the server itself, at "
    f"http://HOST:8848{NACOS_PATH} for Nacos."
)
_BOOT_LOGIN_PAGE: Final = (
    "A login page or a gateway answers in its place. Spring Security sends whom it does not know to its login page: "
    'permit the path there (EndpointRequest.to("prometheus")), or give the scrape job basic_auth. Past a gateway, ask '
    "the application itself: its own port, or that of management.server.port."
)
_ANY_LOGIN_PAGE: Final = (
    "A gateway, a login page or a page for people answers: is the path right (metrics_path), and is it the server "
    "itself that is asked?"
)
_EMPTY: Final = "Is a filter such as includedNames in the parameters?"
_SET_PATH: Final = f"Set metrics_path: {NACOS_PATH} for Nacos, /actuator/prometheus for Spring Boot."
_ANY_PATH: Final = (
    "Set metrics_path to where it has its metrics: /actuator/prometheus for Spring Boot, /metrics for most others."
)
_ON_NACOS_PORT: Final = (
    f"For Nacos the path is {NACOS_PATH}. A Spring Boot application needs the dependency "
    "micrometer-registry-prometheus and management.endpoints.web.exposure.include=prometheus."
)
_SPRING_BOOT: Final = (
    "A Spring Boot application has its metrics there with the dependencies spring-boot-starter-actuator and "
    "micrometer-registry-prometheus, and management.endpoints.web.exposure.include=health,prometheus. Where it has "
    "them, the port is another (management.server.port), or the path (server.servlet.context-path, "
    "management.endpoints.web.base-path)."
)
_OTHER_ENDPOINT: Final = (
    "Of the endpoints of a Spring Boot application only /actuator/prometheus has metrics in Prometheus' format: set "
    "metrics_path to that."
)
_NOT_ACCEPTABLE: Final = (
    "It has none of the formats that were asked for: set scrape_protocols: [PrometheusText0.0.4] in the job."
)
_CONSOLE: Final = " Port 8080 of Nacos 3.x is its console: metrics are on 8848."
_CHECK_METRICS: Final = "It makes the scrape fail whole: `rulepush check metrics` says more."
_SAMPLE_LIMIT: Final = "It makes the scrape fail whole: drop more by metric_relabel_configs."
_TARGET_LIMIT: Final = "It makes all scrapes of this job fail: raise target_limit."
_NO_CONTENT_TYPE: Final = "Set fallback_scrape_protocol: PrometheusText0.0.4 in the job."
_CERTIFICATE: Final = (
    "Give the job the certificate that signed it: tls_config.ca_file, and server_name if it is for another name; or "
    "insecure_skip_verify: true."
)
_NO_TLS: Final = "It does not speak TLS there: scheme: http is meant."
_CLOSED: Final = "It closed the connection: does it want https (scheme: https), or did it restart?"
_BODY_LIMIT: Final = "Raise body_size_limit, or let the target answer less (includedNames)."
_REFUSED: Final = "Nothing listens there: is the server running, and is it this port (Nacos: 8848)?"
_BOOT_REFUSED: Final = (
    "Nothing listens there: is the application running, and is it this port (server.port, 8080 unless set; "
    "management.server.port where that is set)?"
)
_ANY_REFUSED: Final = "Nothing listens there: is the server running, and is it this port?"
_SLOW: Final = "A firewall that drops packets, or a server that hangs; raise scrape_timeout if it is slow."
_NO_NAME: Final = "The name does not resolve from here."


def _named(release: tuple[int, int, int]) -> str:
    return ".".join(map(str, release))


_HOW: Final = (
    "Nacos does not expose its metrics by default: set management.endpoints.web.exposure.include=prometheus in "
    "conf/application.properties, or MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE=prometheus in the environment of its "
    "container, and restart it."
)
_WITHOUT: Final = (
    " "
    + " and ".join(_named(release) for release in WITHOUT_METRICS)
    + " were built without this endpoint and always answer 404: upgrade to "
    + ", ".join(WITHOUT_METRICS.values())
    + "."
)
SUGGESTIONS: Final = frozenset(
    {
        _HTTPS,
        _CREDENTIALS,
        _BOOT_CREDENTIALS,
        _ANY_CREDENTIALS,
        _NOT_METRICS,
        _DISCOVERY,
        _PROXY,
        _SERVER_LOG,
        _LOGIN_PAGE,
        _BOOT_LOGIN_PAGE,
        _ANY_LOGIN_PAGE,
        _EMPTY,
        _SET_PATH,
        _ANY_PATH,
        _ON_NACOS_PORT,
        _SPRING_BOOT,
        _OTHER_ENDPOINT,
        _NOT_ACCEPTABLE,
        _HOW + _WITHOUT,
        _HOW + _WITHOUT + _CONSOLE,
        _CHECK_METRICS,
        _SAMPLE_LIMIT,
        _TARGET_LIMIT,
        _NO_CONTENT_TYPE,
        _CERTIFICATE,
        _NO_TLS,
        _CLOSED,
        _BODY_LIMIT,
        _REFUSED,
        _BOOT_REFUSED,
        _ANY_REFUSED,
        _SLOW,
        _NO_NAME,
    }
)
"""Every suggestion of `diagnose_scrape` where the release of Nacos is not known: what there is to translate."""


@dataclass(frozen=True, slots=True)
class TargetProblem:
    """Why a target gave no metrics, and what to change."""

    message: str
    suggestion: str = ""


class _Asked(Enum):
    """What somebody who typed this URL means to reach."""

    NACOS = 0
    SPRING_BOOT = 1
    OTHER = 2


# The advice of which there is one for each of them.
_BY_ASKED: Final = {
    _Asked.NACOS: (_CREDENTIALS, _LOGIN_PAGE, _REFUSED, _SET_PATH),
    _Asked.SPRING_BOOT: (_BOOT_CREDENTIALS, _BOOT_LOGIN_PAGE, _BOOT_REFUSED, _OTHER_ENDPOINT),
    _Asked.OTHER: (_ANY_CREDENTIALS, _ANY_LOGIN_PAGE, _ANY_REFUSED, _ANY_PATH),
}


def means_nacos(url: str) -> bool:
    """Whether the URL is that of a Nacos server: by its path, its port or its name."""
    return _asked(url) is _Asked.NACOS


def _asked(url: str) -> _Asked:
    parts = urlsplit(url)
    if "nacos" in f"{parts.hostname}{parts.path}".lower() or parts.port == _NACOS_PORT:
        return _Asked.NACOS
    return _Asked.SPRING_BOOT if ACTUATOR in parts.path else _Asked.OTHER


def diagnose_scrape(url: str, error: str, version: str = "") -> TargetProblem:
    """What the error of a failed scrape means, as a target's status and `lastError` of the API have it."""
    if (status := _STATUS.match(error)) is not None:
        return diagnose_status(url, int(status[1]), version)
    if (content_type := _CONTENT_TYPE.search(error)) is not None:
        answer = diagnose_answer(url, content_type[1], b"?")
        return answer or TargetProblem(error, _CHECK_METRICS)
    if "blank Content-Type" in error:
        return TargetProblem(error, _NO_CONTENT_TYPE)
    if error.startswith("target_limit exceeded"):
        return TargetProblem(error, _TARGET_LIMIT)
    if error.startswith("sample limit exceeded"):
        return TargetProblem(error, _SAMPLE_LIMIT)
    if error.startswith(("label_", "internal error")):
        return TargetProblem(error)
    if error.startswith("line "):
        return TargetProblem(error, _CHECK_METRICS)
    return diagnose_error(_REQUEST.sub("", error, count=1), url)


def diagnose_status(
    url: str, status: int, version: str = "", endpoints: Mapping[str, str] | None = None
) -> TargetProblem:
    """What a status other than 200 means. `version`: of that Nacos, "" when unknown. `endpoints`: what the actuator of
    that Spring Boot application lists, name to path; None when it is not known."""
    parts = urlsplit(url)
    # 501 is how Nacos says `no such api` for a path that is none of its own.
    if status in (404, 501):
        return TargetProblem(f"HTTP {status} at {parts.path}", _not_found(url, version, endpoints))
    if status in (401, 403):
        return TargetProblem(f"HTTP {status}: credentials are needed", _credentials(url))
    if status == 406:
        return TargetProblem("HTTP 406: not acceptable", _NOT_ACCEPTABLE)
    if status == 400 and parts.scheme == "http":
        return TargetProblem("HTTP 400", _HTTPS)
    if status in (502, 503):
        return TargetProblem(f"HTTP {status}: a proxy answers, the server behind it does not", _PROXY)
    return TargetProblem(f"HTTP status {status}", _SERVER_LOG if status >= 500 else "")


def diagnose_answer(url: str, content_type: str, body: bytes) -> TargetProblem | None:
    """What an answer of status 200 without metrics means; None when it may be metrics."""
    if "protobuf" in content_type.lower() and body:  # its bytes may look like anything
        return None
    if "html" in content_type.lower() or body.lstrip()[:1] == b"<":
        return TargetProblem(
            "HTTP 200 with a web page instead of metrics",
            _BY_ASKED[_asked(url)][1],
        )
    if "json" in content_type.lower():
        return TargetProblem("HTTP 200 with JSON instead of metrics", _json(url))
    if not body.strip():
        return TargetProblem("HTTP 200 with an empty body", _EMPTY)
    return None


def _not_found(url: str, version: str, endpoints: Mapping[str, str] | None) -> str:
    path, port, asked = urlsplit(url).path, urlsplit(url).port, _asked(url)
    release = parse_release(version)
    if release in WITHOUT_METRICS:
        return (
            f"This is Nacos {version}, which was built without this endpoint: no setting brings it. Upgrade to "
            f"{WITHOUT_METRICS[release]} or later."
        )
    if path == NACOS_PATH or (release and path.endswith(METRICS)):
        console = _CONSOLE if port == 8080 else ""
        return _HOW + (_WITHOUT if release is None else f" It is Nacos {version}.") + console
    if endpoints is not None:
        return _by_the_actuator(endpoints)
    if path.endswith(METRICS):
        return _ON_NACOS_PORT if asked is _Asked.NACOS else _SPRING_BOOT
    return _BY_ASKED[asked][3]


def _by_the_actuator(endpoints: Mapping[str, str]) -> str:
    """What the application itself says of its endpoints is better than a guess."""
    if path := endpoints.get("prometheus"):
        return f"Its actuator has the metrics at {path}: set metrics_path to that."
    listed = ", ".join(sorted(endpoints.keys() - {"self"})[:8]) or "nothing"
    return (
        f"Its actuator answers and lists {listed}, but no prometheus: add the dependency "
        "io.micrometer:micrometer-registry-prometheus, set "
        "management.endpoints.web.exposure.include=health,prometheus, and restart it."
    )


def _credentials(url: str) -> str:
    return _NOT_METRICS if urlsplit(url).path == "/nacos/prometheus" else _BY_ASKED[_asked(url)][0]


def _json(url: str) -> str:
    return _DISCOVERY if urlsplit(url).path.startswith("/nacos/prometheus") else _BY_ASKED[_asked(url)][3]


def diagnose_error(error: str, url: str = f"http://HOST:{_NACOS_PORT}") -> TargetProblem:
    """A connection that failed, or an answer that could not be read."""
    lowered = error.lower()
    if "verify certificate" in lowered:
        return TargetProblem(
            error,
            _CERTIFICATE,
        )
    if lowered.startswith("tls: ") and ("version number" in lowered or "unknown protocol" in lowered):
        return TargetProblem(error, _NO_TLS)
    if "reset by peer" in lowered or "disconnected without" in lowered or "peer closed connection" in lowered:
        return TargetProblem(error, _CLOSED)
    if "body size limit" in lowered:
        return TargetProblem(error, _BODY_LIMIT)
    if "refused" in lowered:
        return TargetProblem(error, _BY_ASKED[_asked(url)][2])
    if "deadline" in lowered or "timed out" in lowered:
        return TargetProblem(error, _SLOW)
    if "name or service not known" in lowered or "resolution" in lowered or "no address associated" in lowered:
        return TargetProblem(error, _NO_NAME)
    return TargetProblem(error)
