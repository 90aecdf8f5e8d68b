"""Every error that rulepush raises on purpose.

RulepushError
├── ConfigError          a file that cannot be used: carries every Problem found in it, with file:line
│   └── RuleFileError    the same for rule files
├── PromQLError
│   ├── ParseError       an expression that is not PromQL (or not supported): raised at load
│   └── EvaluationError  a query that failed while it ran
│       ├── QueryLimitError   too many samples, too deep, or too long
│       └── DatasourceError   the engine that evaluates rules elsewhere gave no answer, or not the whole one
├── RegexError           a pattern that RE2 refuses
├── HistogramError    histogram/errors.py: a native histogram that contradicts itself, or an operation it does not allow
│   ├── InvalidHistogram     it contradicts itself, or is not the literal of one
│   ├── IncompatibleSchemas  exponential and custom buckets together
│   └── BucketLimitError     more buckets than allowed, in every resolution
├── ExpositionError      a body that is not a Prometheus or OpenMetrics text, with its line
├── ProtobufError        a body that is no sequence of metric families in protobuf
├── ScrapeError          a scrape that failed: `up` becomes 0
│   └── HTTPStatusError  the same for an answer that is not 200
├── DiscoveryError       a discovery that failed: the last good list of targets stays
│   └── KubernetesApiError   a request to the API server of a cluster; in discovery/kubernetes/refusals.py
│       └── ResourceExpired  the version asked for is too old: the objects are listed anew
├── OddObjectError       discovery/kubernetes/api.py: an object of a cluster that is left out
├── IllegalTransition    an invalid state transition of an alert: always a bug; nothing changed
├── CredentialsError     http_client: credentials or certificates cannot be used; also an httpx.RequestError
├── RequestRefused       a request to one of our servers that is refused, with its HTTP status
│   ├── BodyError        its body is too large, in an unknown encoding, or corrupt
│   ├── RemoteWriteError a remote write body that is refused
│   └── PushError        a pushed group that is refused
├── SampleSourceError    samples for a backtest that cannot be had from a server or a file
└── StorageError         the state database cannot be used

An error class is added here, so that this tree stays complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rulepush.model.errors import RegexError as RegexError
from rulepush.model.errors import RulepushError as RulepushError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where, and what to do."""

    file: str
    line: int  # 1-based; 0 when the whole file is meant
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}" if where else self.message


class ConfigError(RulepushError):
    """A file cannot be used. `problems` lists everything found, not only the first."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class RuleFileError(ConfigError):
    """A rule file cannot be used."""


class PromQLError(RulepushError):
    """Anything wrong with a PromQL expression."""


class ParseError(PromQLError):
    """An expression that does not parse, does not type-check, or uses what is not supported."""


class EvaluationError(PromQLError):
    """A query that failed while it ran; the text is Prometheus' own where it has one."""


class QueryLimitError(EvaluationError):
    """A query that would need too many samples, steps, levels or seconds."""


class DatasourceError(EvaluationError):
    """The engine of a datasource did not answer, or not with the whole result: nothing is known of alerts."""


TOO_MANY_SAMPLES: Final = "query processing would load too many samples into memory in query execution"
"""The text of a QueryLimitError, as Prometheus has it; whoever reads samples for a query raises it."""


class ExpositionError(RulepushError):
    """A body that is not a Prometheus or OpenMetrics text. `line` is 1-based."""

    def __init__(self, line: int, message: str):
        self.line = line
        self.message = message
        super().__init__(f"line {line}: {message}")


class ProtobufError(RulepushError):
    """A body that is not a sequence of metric families, each after its length."""


class ScrapeError(RulepushError):
    """A scrape that failed; its text is what the targets API shows as lastError."""


class HTTPStatusError(ScrapeError):
    """The target answered, with another status than 200. `body` is the beginning of its body, where that is wanted."""

    def __init__(self, status: int, phrase: str):
        self.status = status
        self.content_type = ""
        self.body = b""
        super().__init__(f"server returned HTTP status {status} {phrase}".rstrip())


class DiscoveryError(RulepushError):
    """A discovery that failed; the last good list of targets stays. `retry_after_s` is the wait that the server asks
    for, 0 for none. `lasting`: the next attempts fail in the same way, until somebody changes the configuration, or
    what the server allows."""

    def __init__(self, message: str = "", *, retry_after_s: float = 0.0, lasting: bool = False):
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.lasting = lasting


class IllegalTransition(RulepushError):
    """An invalid state transition of an alert. Always a bug in rulepush; nothing was changed."""


class RequestRefused(RulepushError):
    """A request that is refused. `status` is the HTTP status to answer."""

    def __init__(self, status: int, message: str):
        self.status = status
        super().__init__(message)


class BodyError(RequestRefused):
    """A request body that is refused before its content is read."""


class RemoteWriteError(RequestRefused):
    """A remote write request that is refused."""


class PushError(RequestRefused):
    """A pushed group that is refused."""


class SampleSourceError(RulepushError):
    """Samples that cannot be had from a server or a file: which one, why, and what to do."""


class StorageError(RulepushError):
    """The state database cannot be read or written."""
