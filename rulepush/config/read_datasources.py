"""Reading `datasources`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from rulepush.config.sections import DatasourceConfig
from rulepush.http_client.config import read_http_client
from rulepush.model.secret import Secret, tells_of_a_secret
from rulepush.yaml.nodes import MapReader
from rulepush.yaml.scalars import did_you_mean

_RESERVED: Final = frozenset(("query", "time", "timeout"))
_OF_A_QUERY: Final = _RESERVED | {"start", "end", "step"}

ReadRuleFiles = Callable[[MapReader], tuple[str, ...]]


def read_datasources(
    m: MapReader, rule_files: ReadRuleFiles, in_memory: Collection[str], writes: Collection[str]
) -> tuple[DatasourceConfig, ...]:
    """Read `datasources`. `rule_files` reads that key of an entry; `in_memory` are the top-level rule files, `writes`
    the names of the remote writes. A file is evaluated in one place."""
    configs: list[DatasourceConfig] = []
    place = dict.fromkeys(in_memory, "the top-level rule_files, which are evaluated in memory")
    for entry in m.sections("datasources"):
        config = _read(entry, rule_files)
        if any(config.name == other.name for other in configs):
            entry.problem(f'found multiple datasources with name "{config.name}"', "name")
        if config.write_to and config.write_to not in writes:
            entry.problem(_no_such_write(config.write_to, sorted(name for name in writes if name)), "write_to")
        for file in config.rule_files:
            if file in place:
                entry.problem(f"{file} is also among {place[file]}: a rule file belongs to one of them", "rule_files")
            place.setdefault(file, f'the rule_files of the datasource "{config.name}"')
        configs.append(config)
    return tuple(configs)


def _read(m: MapReader, rule_files: ReadRuleFiles) -> DatasourceConfig:
    name = m.text("name")
    if not name:
        m.problem("a datasource needs a name, by which pages and metrics show it", None)
    if not m.has("url"):
        m.problem("url for datasource is empty", None)
    params = _params(m)
    for param in sorted(_RESERVED & params.keys()):
        m.problem(f"params: {param} is set by each query", "params")
    timeout, concurrent = m.duration("timeout", 30_000), m.count("max_concurrent", 8)
    if timeout == 0:
        m.wrong("timeout", "expected a duration above 0")
    if concurrent == 0:
        m.wrong("max_concurrent", "expected a number above 0")
    url = m.url("url")
    _check_parameters(m, url)
    config = DatasourceConfig(
        name=name,
        url=_base(url),
        rule_files=rule_files(m),
        query_offset_ms=m.duration("query_offset") if m.has("query_offset") else None,
        timeout_ms=timeout,
        max_concurrent=concurrent,
        params=tuple(params.items()),
        write_to=m.text("write_to"),
        http_client=read_http_client(m),
    )
    m.finish()
    return config


def _params(m: MapReader) -> dict[str, str]:
    inner = m.section("params")
    if inner is None:
        return {}
    for name in filter(tells_of_a_secret, inner.keys()):
        inner.mask_all(name)
    return {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118


def _no_such_write(name: str, writes: list[str]) -> str:
    hint = did_you_mean(name, writes) or f" (there is {', '.join(writes) or 'none'})"
    return f'write_to: there is no remote_write named "{name}"{hint}'


def _check_parameters(m: MapReader, url: Secret) -> None:
    """What stands behind the question mark is not sent: of a copied query that is what is wanted, of a tenant not."""
    lost = [name for name, _ in parse_qsl(urlsplit(url.reveal()).query) if name not in _OF_A_QUERY]
    if lost:
        m.problem(f"url: put its {', '.join(lost)} under params: a query has parameters of its own", "url")


def _base(url: Secret) -> Secret:
    """The base of the API: people copy the URL of a query."""
    text = url.reveal().partition("?")[0].rstrip("/")
    return Secret(text.removesuffix("/query").removesuffix("/api/v1").rstrip("/"))
