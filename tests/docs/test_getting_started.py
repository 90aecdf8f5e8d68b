"""The commands of the getting-started page, in its order, in an empty directory, with a simulated Nacos."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rulepush.clock import SystemClock
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.livecheck.servers import Reply, serving

PAGE = Path(__file__).parents[2] / "docs" / "getting-started-nacos.md"


def _commands() -> list[str]:
    """The lines of the shell blocks after the installation."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text[text.index("## 3.") :], re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def _reply(path: str) -> Reply:
    if path == METRICS_PATH:
        return 200, "text/plain;version=0.0.4", FakeNacos("2.4.3").body(SystemClock().now())
    return 200, "application/json", b"{}"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextmanager
def _running(words: str, cwd: Path, env: dict[str, str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(words, shell=True, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(ready, timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.05)  # for another process: there is nothing else to wait for
        yield
    finally:
        process.terminate()
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    port = str(_free_port())
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    init, cd, check, run, targets, alerts, live, received = _commands()
    assert cd == "cd nacos-alerts"
    assert received.endswith("/api/v2/alerts")
    directory = tmp_path / "nacos-alerts"

    def at_ports(command: str, nacos: str) -> str:
        return command.replace("127.0.0.1:8848", nacos).replace("127.0.0.1:9093", nacos).replace("9095", port)

    def shell(command: str, nacos: str, cwd: Path) -> str:
        done = subprocess.run(
            at_ports(command, nacos), shell=True, cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with serving(_reply) as nacos:
        shell(init, nacos, tmp_path)
        config = directory / "prometheus.yml"
        config.write_text(config.read_text().replace("9095", port))
        assert "87 alerts" in shell(check, nacos, directory)
        run = f"exec {run} --web.listen-address 127.0.0.1:{port}"
        with _running(at_ports(run, nacos), directory, env, f"http://127.0.0.1:{port}/-/ready"):
            active = json.loads(shell(targets, nacos, directory))["data"]["activeTargets"]
            assert sorted(t["labels"]["job"] for t in active) == ["nacos", "rulepush"]
            assert json.loads(shell(alerts, nacos, directory))["status"] == "success"
            assert "0 with problems" in shell(live, nacos, directory)
    assert (directory / "data").is_dir()
