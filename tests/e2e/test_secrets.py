"""Secrets of the configuration never come out."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e


SECRETS = """
scrape_configs:
- job_name: basic
  basic_auth: {username: me, password: S3CRET-basic}
  http_headers: {X-Token: {secrets: [S3CRET-header]}}
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: bearer
  authorization: {credentials: S3CRET-bearer}
  proxy_url: http://user:S3CRET-proxy@127.0.0.1:1
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: oauth
  oauth2: {client_id: a, client_secret: S3CRET-oauth, token_url: 'http://127.0.0.1:1/'}
  static_configs: [{targets: ['127.0.0.1:1']}]
- job_name: discovered
  http_sd_configs: [{url: 'http://user:S3CRET-sd@127.0.0.1:1/'}]
  nacos_sd_configs: [{servers: ['http://127.0.0.1:1/nacos'], role: server, username: nacos, password: S3CRET-nacos}]
remote_write:
- url: http://user:S3CRET-write@127.0.0.1:1/
  basic_auth: {username: me, password: S3CRET-write-basic}
alerting:
  alertmanagers:
  - basic_auth: {username: me, password: S3CRET-alertmanager}
    static_configs: [{targets: ['127.0.0.1:1']}]
"""


def test_no_answer_no_page_and_no_log_line_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(SECRETS)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = rulepush_command(
        "run",
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=debug",
    )
    paths = ["api/v1/status/config", "api/v1/status/flags", "api/v1/status/runtimeinfo", "api/v1/targets"]
    paths += ["api/v1/targets/metadata", "api/v1/alertmanagers", "api/v1/scrape_pools", "api/v1/rules", "metrics"]
    paths += ["targets", "alerts", "rules", "graph"]
    with running(command, tmp_path / "log", f"{url}/-/ready") as server:
        wait_for("a try", lambda: "127.0.0.1:1/" in server.output())
        for path in paths:
            answer = httpx.get(f"{url}/{path}", trust_env=False, timeout=60)
            assert answer.status_code == 200, path
            assert "S3CRET" not in answer.text, path
        assert "<secret>" in httpx.get(f"{url}/api/v1/status/config", trust_env=False, timeout=60).text
        assert "S3CRET" not in server.output()
