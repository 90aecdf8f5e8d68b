"""`rulepush check live` as it is typed."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.livecheck.servers import Reply, serving

BAD_RULES = """\
groups:
  - name: g
    rules:
      - alert: GrpcConnectionsDropped
        expr: delta(nacos_monitor{name="grpcConnectionCount"}[5m]) < -500
      # rulepush: optional
      - alert: HikariPending
        expr: hikaricp_connections_pending > 0
"""
TEXT = "text/plain;version=0.0.4;charset=utf-8"


def _reply(path: str) -> Reply:
    if path != METRICS_PATH:
        return 404, "application/json", b"{}"
    return 200, TEXT, FakeNacos("2.4").body(SystemClock().now())


def test_the_packs_on_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_reply) as address:
        assert main(["check", "live", "--target", address]) == 0
    out = capsys.readouterr().out
    assert "looks like Nacos 2.3.1 to 2.5" in out
    assert "73 rules: 0 with problems, 0 true now, 4 can never fire on these servers, 69 fine" in out
    assert "NacosLeaderLost" in out
    assert "Nacos 2.2.0 and later never write it: it stays at 0, and this is Nacos 2.3.1 to 2.5" in out


def test_a_configuration_with_a_rule_that_cannot_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yml").write_text(BAD_RULES)
    with serving(_reply) as address:
        (tmp_path / "prometheus.yml").write_text(
            f"rule_files: [bad.yml]\n"
            f"scrape_configs:\n"
            f"  - job_name: nacos\n"
            f"    metrics_path: {METRICS_PATH}\n"
            f"    static_configs: [{{targets: ['{address}']}}]\n"
        )
        config = str(tmp_path / "prometheus.yml")
        assert main(["check", "live", "--config.file", config]) == 1
        text = capsys.readouterr().out
        assert main(["check", "live", "--config.file", config, "--format", "json"]) == 1
        document = json.loads(capsys.readouterr().out)
    assert 'Did you mean name="longConnection"?' in text
    assert "HikariPending" not in text, "it is marked optional"
    assert document["summary"] == {"rules": 2, "problems": 1, "true_now": 0, "never": 0, "fine": 1, "targets_failed": 0}
    assert document["rules"][0]["line"] == 4


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert main(["check", "live", "--target", f"http://127.0.0.1:{unused.getsockname()[1]}"]) == 1
    out = capsys.readouterr().out
    assert "connection refused" in out
    assert "nothing can be said about the rules" in out


def test_wrong_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "live", "--target", "ftp://x"]) == 1
    assert main(["check", "live", "--target", "http://x", "--for", "soon"]) == 1
    assert main(["check", "live", "--target", "http://x", "--rules", str(tmp_path / "none.yml")]) == 1
    assert "none.yml: does not exist" in capsys.readouterr().err
