"""Where links lead: addresses of pages, without the prefix of `--web.external-url`, and which foreign ones are safe.

Pure. `Frame` and the notifier put a prefix, or the external URL, before a path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlencode, urlsplit

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels

_SAFE_SCHEMES: Final = ("http", "https")


def alert_url(labels: Labels) -> str:
    """The page of the alert with these labels: `/alerts/<fingerprint>`. The labels are the rule's, before external
    labels and alert relabelling."""
    return f"/alerts/{fingerprint(labels)}"


def rule_url(file: str, group: str, name: str) -> str:
    """The page of a rule: `/rules/<group>/<name>?file=...`. Two groups of one name are in different files, and the page
    shows every rule that fits where `file` is left out. Of names that are a dot or two a browser would make another
    path, also where they are quoted: they get a tilde in front."""
    segments = (f"~{text}" if _is_dots(text) else text for text in (group, name))
    return f"/rules/{'/'.join(quote(text, safe='') for text in segments)}?{urlencode({'file': file})}"


def rule_names(path: str) -> tuple[str, str]:
    """Group and name of a rule: the last two segments of such a path, before it was decoded."""
    segments = ["", *path.rsplit("/", 2)][-2:]
    group, name = (text[1:] if text.startswith("~") and _is_dots(text) else text for text in map(unquote, segments))
    return group, name


def _is_dots(text: str) -> bool:
    return text.lstrip("~") in (".", "..")


def query_url(expr: str) -> str:
    """The query page with an expression, as Prometheus addresses it."""
    return f"/graph?g0.expr={quote_plus(expr)}&g0.tab=1"


def backtest_url(file: str, group: str, name: str, number: int = 1) -> str:
    """The page that tries an alerting rule with other values, the `number`th of its name in the group."""
    parameters = {"file": file, "group": group, "rule": name, "number": str(number) if number > 1 else ""}
    return with_parameters("/backtest", parameters)


def silence_url(alertmanager: str, labels: Labels) -> str:
    """The form of Alertmanager's page for a new silence, with a matcher for each label. `alertmanager` is the address
    that alerts are posted to, or its root; a password in it is not passed on.

    Source: prometheus/alertmanager ui/app/src/Views/SilenceForm/Parsing.elm and Utils/Filter.elm.
    """
    scheme, _, rest = alertmanager.partition("#")[0].partition("/api/")[0].rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    root = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    matchers = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels)
    return f"{root}/#/silences/new?filter={quote('{' + matchers + '}', safe='')}"


def safe_link(text: str) -> str:
    """The text where it is an http or https address that a page may link to, else ""."""
    link = text.strip()
    try:
        parts = urlsplit(link)
    except ValueError:
        return ""
    return link if parts.scheme in _SAFE_SCHEMES and parts.netloc and link.isprintable() and " " not in link else ""


def host_of(address: str) -> str:
    """`am:9093` of an address, the whole of it where it has no host."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2] or address
    except ValueError:
        return address


def with_parameters(path: str, parameters: Mapping[str, str]) -> str:
    """The path with these parameters; those without a value are left out."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{query}" if query else path
