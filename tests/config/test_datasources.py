"""The key `datasources`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.config import render_config
from rulepush.config.references import check_references
from rulepush.config.sections import Config, DatasourceConfig
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.model.secret import Secret
from rulepush.service.loaded_config import load_config_and_rules
from tests.config.loading import load, problems

WRITE = "remote_write: [{url: 'http://vm/api/v1/write', name: central}]\n"
RULES = "groups: [{name: NAME, rules: [{alert: A, expr: up == 0}]}]\n"


def rule_files(directory: Path, *names: str) -> tuple[str, ...]:
    paths = [directory / f"{name}.yml" for name in names]
    for path in paths:
        path.write_text(RULES.replace("NAME", path.stem))
    return tuple(str(path) for path in paths)


def test_name_and_url_are_enough(tmp_path: Path) -> None:
    (one,) = load(tmp_path, "datasources: [{name: central, url: 'http://vm:8428'}]\n").datasources
    assert one == DatasourceConfig("central", Secret("http://vm:8428"), (), None, 30_000, 8, (), "")
    assert load(tmp_path, "").datasources == ()


def test_everything_can_be_set(tmp_path: Path) -> None:
    files = rule_files(tmp_path, "a", "b")
    text = f"""\
{WRITE}datasources:
- name: central
  url: http://vmselect:8481/select/0/prometheus
  rule_files: [b.yml, '?.yml']
  query_offset: 0s
  timeout: 10s
  max_concurrent: 3
  params: {{dedup: true, nocache: "0"}}
  write_to: central
  basic_auth: {{username: u, password: hush}}
- {{name: mimir, url: 'https://mimir/prometheus/', http_headers: {{X-Scope-OrgID: {{values: [t]}}}}}}
"""
    central, mimir = load(tmp_path, text).datasources
    assert central == DatasourceConfig(
        "central",
        Secret("http://vmselect:8481/select/0/prometheus"),
        (files[1], files[0]),
        0,
        10_000,
        3,
        (("dedup", "true"), ("nocache", "0")),
        "central",
        HTTPClientConfig(basic_auth=BasicAuth("u", password=Secret("hush"))),
    )
    assert [header.name for header in mimir.http_client.headers] == ["X-Scope-OrgID"]


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://vm:8428/", "http://vm:8428"),
        ("http://mimir/prometheus/api/v1", "http://mimir/prometheus"),
        ("http://vm:8481/select/0/prometheus/api/v1/query", "http://vm:8481/select/0/prometheus"),
        ("http://vm:8428/api/v1/query?query=up&time=1", "http://vm:8428"),
    ],
)
def test_the_url_of_a_query_stands_for_its_base(tmp_path: Path, url: str, base: str) -> None:
    (one,) = load(tmp_path, f"datasources: [{{name: c, url: '{url}'}}]\n").datasources
    assert one.url.reveal() == base


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{url: 'http://vm'}", "2: datasources[0]: a datasource needs a name, by which pages and metrics show it"),
        ("{name: c}", "2: datasources[0]: url for datasource is empty"),
        (
            "{name: c, url: 'vm:8428'}",
            "2: datasources[0].url: expected a URL that starts with http:// or https://, got",
        ),
        (
            "{name: c, url: 'http://vm/api/v1/query?query=up&extra_label=x'}",
            "2: datasources[0]: url: put its extra_label under params: a query has parameters of its own",
        ),
        ("{name: c, url: 'http://vm', timeout: 5x}", "2: datasources[0].timeout: expected a duration such as 30s"),
        ("{name: c, url: 'http://vm', timeout: 0s}", "2: datasources[0].timeout: expected a duration above 0"),
        ("{name: c, url: 'http://vm', query_offset: -1s}", "2: datasources[0].query_offset: expected a duration"),
        ("{name: c, url: 'http://vm', max_concurrent: 0}", "2: datasources[0].max_concurrent: expected a number above"),
        ("{name: c, url: 'http://vm', max_concurrent: x}", "2: datasources[0].max_concurrent: expected a whole number"),
        ("{name: c, url: 'http://vm', params: [a]}", "2: datasources[0].params: expected a mapping, got a list"),
        ("{name: c, url: 'http://vm', params: {time: 1}}", "2: datasources[0]: params: time is set by each query"),
        (
            "{name: c, url: 'http://vm', rule_files: ['a*/b.yml']}",
            '2: datasources[0]: invalid rule file path "a*/b.yml',
        ),
        ("{name: c, url: 'http://vm', writeto: c}", "unknown key 'writeto' (did you mean 'write_to'?)"),
        (
            "{name: c, url: 'http://vm', write_to: centrl}",
            "2: datasources[0]: write_to: there is no remote_write named \"centrl\" (did you mean 'central'?)",
        ),
        (
            "{name: c, url: 'http://vm', write_to: xyz}",
            '2: datasources[0]: write_to: there is no remote_write named "xyz" (there is central)',
        ),
        (
            "{name: c, url: 'http://a'}\n- {name: c, url: 'http://b'}",
            '3: datasources[1]: found multiple datasources with name "c"',
        ),
        ("7", "2: datasources[0]: expected a mapping, got"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, entry: str, problem: str) -> None:
    (said,) = problems(tmp_path, f"datasources:\n- {entry}\n{WRITE}")
    assert problem in said


def test_without_a_remote_write_there_is_none_to_write_to(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, "datasources:\n- {name: c, url: 'http://vm', write_to: x}\n")
    assert said.endswith('write_to: there is no remote_write named "x" (there is none)')


def test_a_rule_file_belongs_to_one_place(tmp_path: Path) -> None:
    top, other, _free = rule_files(tmp_path, "top", "other", "free")
    text = """\
rule_files: [top.yml]
datasources:
- {name: a, url: 'http://a', rule_files: [other.yml]}
- name: b
  url: http://b
  rule_files: ['[oft]*.yml']
"""
    said = problems(tmp_path, text)
    assert said == [
        f'6: datasources[1]: {other} is also among the rule_files of the datasource "a": a rule file belongs to one of '
        "them",
        f"6: datasources[1]: {top} is also among the top-level rule_files, which are evaluated in memory: a rule file "
        "belongs to one of them",
    ]


SECRETS = """\
datasources:
- name: c
  url: https://user:hush1@vm/select
  params: {token: hush2, tenant: "7"}
  authorization: {credentials: hush3}
- name: d
  url: http://vm
  oauth2: {client_id: i, client_secret: hush4, token_url: 'http://idp/token'}
"""


def test_secrets_are_masked(tmp_path: Path) -> None:
    config = load(tmp_path, SECRETS)
    assert config.datasources[0].url.reveal() == "https://user:hush1@vm/select"
    assert dict(config.datasources[0].params)["token"] == "hush2"
    shown = render_config(config)
    assert "hush" not in shown + repr(config.datasources[0].url)
    assert 'tenant: "7"' in shown or "tenant: '7'" in shown
    assert shown.count("<secret>") == 4


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    text = """\
datasources:
- name: c
  url: https://vm
  rule_files: [none.yml, 'no*.yml']
  tls_config: {ca_file: missing.pem}
"""
    config: Config = load(tmp_path, text)
    found, warnings = check_references(config)
    assert "missing.pem" in str([*found, *warnings])
    plan = load_config_and_rules(config.path)
    assert [w.replace(f"{tmp_path}/", "") for w in plan.warnings] == [
        "prometheus.yml:4: datasources[0].rule_files: 'none.yml' does not point to an existing file",
        "prometheus.yml:4: datasources[0].rule_files: 'no*.yml' does not point to an existing file",
    ]


def test_check_config_warns_of_globs_that_match_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yml"
    path.write_text("datasources:\n- {name: c, url: 'http://vm', rule_files: ['no*.yml']}\n")
    main(["check", "config", str(path)])
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert "warning: c.yml:2: datasources[0].rule_files: 'no*.yml' does not point to an existing file" in said


def test_groups_carry_their_datasource_and_what_they_read_is_not_kept_in_memory(tmp_path: Path) -> None:
    rule_files(tmp_path, "top", "fleet")
    (tmp_path / "fleet.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: 'rate(far[1h]) > 1'}]}]\n")
    config = load(
        tmp_path, "rule_files: [top.yml]\ndatasources: [{name: c, url: 'http://vm', rule_files: [fleet.yml]}]\n"
    )
    plan = load_config_and_rules(config.path)
    assert [(g.name, g.datasource) for g in plan.groups] == [("top", ""), ("g", "c")]
    assert not any("far" in str(kept) for kept in plan.demand.describe())
