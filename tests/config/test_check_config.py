"""`rulepush check config`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.__main__ import main

RULES = (
    "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'rate(x_total[5m]) > 1'}\n  - {record: 'a:b', expr: sum(up)}\n"
)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["check", "config", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_good_file_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "c.yml").write_text(
        "rule_files: [r.yml]\ntracing: {endpoint: x}\nscrape_configs:\n- job_name: nacos\n"
        "  static_configs: [{targets: [a:1, b:1]}]\n  dns_sd_configs: [{names: [x]}]\n"
        "  relabel_configs: [{source_labels: [__address__], regex: 'a:1', action: drop}]\n"
        "alerting: {alertmanagers: [{static_configs: [{targets: [am:9093]}]}]}\n"
    )
    code, out, err = check(capsys, str(tmp_path / "c.yml"))
    assert (code, err) == (0, "")
    assert out == (
        f"{tmp_path}/c.yml: valid\n"
        "  1 job\n"
        "    nacos: 2 static targets (1 dropped by relabelling), dns discovery, every 1m\n"
        "  1 Alertmanager entry\n"
        "    am:9093, http\n"
        "  1 rule file: 1 group, 1 alert, 1 recording rule\n"
        f"    {tmp_path}/r.yml: 2 rules\n"
        "  kept for the rules, and nothing else:\n"
        "    ALERTS for 5m\n"
        "    up for 5m\n"
        "    x_total for 5m\n"
        "  ignored, they change no alert: tracing\n"
    )


def test_problems_of_the_files_it_names_are_found_with_their_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yml").write_text("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'sum('}\n")
    (tmp_path / "t.json").write_text('[{"targets": 1}]')
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "c.yml").write_text(
        "rule_files:\n- bad.yml\n- none.yml\n- none*.yml\nscrape_configs:\n- job_name: a\n"
        "  file_sd_configs:\n  - files: [t.json]\n  - files: [u.json]\n"
        "  basic_auth:\n    username: x\n    password_file: pw\n"
        "  tls_config:\n    ca_file: ca.pem\n"
    )
    name = str(tmp_path / "c.yml")
    code, out, err = check(capsys, name)
    assert (code, out) == (1, "")
    lines = err.replace(f"{tmp_path}/", "").splitlines()
    assert "warning: c.yml:9: scrape_configs[0].file_sd_configs[1].files: 'u.json' does not exist yet" in lines
    assert "c.yml:3: rule_files: 'none.yml' does not point to an existing file" in lines
    assert (
        "c.yml:8: scrape_configs[0].file_sd_configs[0].files: t.json: group 0: targets must be a list of texts" in lines
    )
    assert (
        "c.yml:12: scrape_configs[0].basic_auth.password_file: 'pw' cannot be read: No such file or directory" in lines
    )
    assert any(
        x.startswith("c.yml:14: scrape_configs[0].tls_config.ca_file: unable to use CA cert ca.pem") for x in lines
    )
    assert any(x.startswith("bad.yml:4: ") for x in lines)
    assert lines[-1] == "c.yml: 5 problems"
    assert check(capsys, "--syntax-only", name) == (0, f"{name}: the syntax is valid\n", "")


def test_duplicate_rules_are_a_lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yml").write_text(
        "groups:\n- name: g\n  rules:\n  - {record: 'a:b', expr: up}\n  - {record: 'a:b', expr: 'up > 1'}\n"
    )
    (tmp_path / "c.yml").write_text("rule_files: [r.yml]\n")
    name = str(tmp_path / "c.yml")
    code, _, err = check(capsys, name)
    assert code == 0
    assert "duplicate rule: a:b" in err
    assert check(capsys, "--lint-fatal", name)[0] == 3
    assert check(capsys, "--lint-fatal", "--lint", "none", name)[0] == 0


def test_what_rule_files_are_warned_of_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yml").write_text("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'up[5m]'}\n")
    (tmp_path / "c.yml").write_text("rule_files: [r.yml]\n")
    code, _, err = check(capsys, str(tmp_path / "c.yml"))
    assert code == 0  # as promtool
    text = 'line 4: group "g", rule 1, "A": rule result is not a vector or scalar but a range vector'
    assert f"warning: {tmp_path / 'r.yml'}: {text}" in err


def test_problems_of_the_file_and_of_the_files_it_names_come_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yml").write_text("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'sum('}\n")
    (tmp_path / "c.yml").write_text("rule_files: [bad.yml, none.yml]\nglobal: {scrape_intervall: 1s}\n")
    code, _, err = check(capsys, str(tmp_path / "c.yml"))
    assert code == 1
    reported = err.replace(f"{tmp_path}/", "").splitlines()
    assert reported[0] == "c.yml:2: global: unknown key 'scrape_intervall' (did you mean 'scrape_interval'?)"
    assert reported[1] == "c.yml:1: rule_files: 'none.yml' does not point to an existing file"
    assert reported[2].startswith('bad.yml:4: group "g", rule 1, "A": could not parse expression: ')
    assert reported[3:] == ["c.yml: 3 problems"]


@pytest.mark.parametrize(
    ("record", "bounds"), [("{}", "1d, at most 512MB"), ("{retention: 90m, max_size: 2GB}", "1h30m, at most 2048MB")]
)
def test_the_bounds_of_the_recording_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: str, bounds: str
) -> None:
    (tmp_path / "c.yml").write_text(f"storage: {{record: {record}}}\n")
    code, out, err = check(capsys, str(tmp_path / "c.yml"))
    assert (code, err) == (0, "")
    assert f"  recorded below --storage.path: every sample, for {bounds}\n" in out


def test_of_several_documents_the_first_is_read_as_in_prometheus(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yml").write_text("---\nglobal: {scrape_interval: 5s}\n---\nnonsense: [\n")
    code, out, err = check(capsys, str(tmp_path / "c.yml"))
    assert (code, "only the first YAML document is read" in err) == (0, True)
    assert out.startswith(f"{tmp_path}/c.yml: valid")


PROBE = """\
scrape_configs:
- job_name: probe
  metrics_path: /probe
  static_configs: [{targets: ["https://shop.example/health", "http://web:3000"]}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
"""
MOVE = '  - {target_label: __address__, replacement: "127.0.0.1:9115"}\n'
INSTANCE = "  - {source_labels: [__param_target], target_label: instance}\n"


def test_static_targets_may_be_urls_where_relabelling_moves_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yml"
    file.write_text(PROBE + MOVE + INSTANCE)
    code, _, err = check(capsys, str(file))
    assert (code, err) == (0, "")


def test_the_address_after_relabelling_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yml"
    file.write_text(
        PROBE + "alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['http://am:9093']}]\n"
        "    relabel_configs: [{target_label: x, replacement: y}]\n"
    )
    code, _, err = check(capsys, str(file))
    assert code == 1
    assert err.splitlines() == [
        f"{file}: job 'probe': a target after relabelling: \"https://shop.example/health\" is not a valid hostname",
        f"{file}: job 'probe': a target after relabelling: \"http://web:3000\" is not a valid hostname",
        f'{file}: alertmanagers: a target after relabelling: "http://am:9093" is not a valid hostname',
        f"{file}: 3 problems",
    ]


def test_targets_with_one_instance_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yml"
    file.write_text(PROBE + MOVE)
    code, _, err = check(capsys, str(file))
    assert code == 0
    assert err.startswith(
        f"warning: {file}: job 'probe': 2 targets have the same labels (instance '127.0.0.1:9115'), so their series "
        "overwrite each other: give each an instance of its own: http://127.0.0.1:9115/probe?target="
    )


@pytest.mark.parametrize("relabelling", ["", "    relabel_configs: []\n"])
def test_an_alertmanager_that_is_a_url_is_refused_where_nothing_relabels_it(
    relabelling: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yml"
    file.write_text("alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['http://am:9093']}]\n" + relabelling)
    code, _, err = check(capsys, str(file))
    assert code == 1
    assert '"http://am:9093" is not a valid hostname' in err


def test_an_empty_proxy_url_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.yml"
    file.write_text("scrape_configs:\n- job_name: a\n  proxy_url: ''\n")
    assert check(capsys, str(file))[0] == 0
    file.write_text("scrape_configs:\n- job_name: a\n  proxy_url: ''\n  no_proxy: b\n")
    assert check(capsys, str(file))[0] == 0  # promtool 3.5.3 takes an empty one here
    file.write_text("scrape_configs:\n- job_name: a\n  no_proxy: b\n")
    code, _, err = check(capsys, str(file))
    assert code == 1
    assert "if no_proxy is configured, proxy_url must also be configured" in err


def test_the_rule_files_of_datasources_are_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "f.yml").write_text(
        RULES.replace("x_total", "fleet_total").replace("a:b", "f:b").replace("alert: A", "alert: F")
    )
    (tmp_path / "c.yml").write_text(
        "rule_files: [r.yml]\nremote_write: [{name: central, url: 'http://user:pw@vm:8428/api/v1/write'}]\n"
        "datasources: [{name: vm, url: 'http://user:pw@vm:8428', rule_files: [f.yml], write_to: central}]\n"
    )
    code, out, err = check(capsys, str(tmp_path / "c.yml"))
    assert (code, err) == (0, "")
    written = "recorded series and ALERTS go to the remote write central"
    assert f"  datasource vm: http://vm:8428, evaluates 1 rule file, {written}\n" in out
    assert "2 rule files: 2 groups" in out
    assert "x_total for 5m" in out
    assert "fleet_total" not in out, "it is not kept in memory"
    (tmp_path / "f.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]")
    code, out, err = check(capsys, str(tmp_path / "c.yml"))
    assert code == 1
    assert f"{tmp_path}/f.yml:1" in err
