"""Listening to /api/v1/notifications/live while a reload fails and succeeds: the same of rulepush and of Prometheus."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.needs import binary
from tests.servers import free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e

FAILED = "Configuration reload has failed."


class Listener:
    """Reads the events until the server ends them."""

    def __init__(self, url: str):
        self.events: list[dict[str, Any]] = []
        self.headers = httpx.Headers()
        self._url = url
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        timeout = httpx.Timeout(5, read=60)
        try:
            with httpx.stream(
                "GET", self._url, headers={"Accept-Encoding": "gzip"}, trust_env=False, timeout=timeout
            ) as a:
                self.headers = a.headers
                for line in a.iter_lines():
                    if line.startswith("data: "):
                        self.events.append(json.loads(line.removeprefix("data: ")))
        except httpx.HTTPError:
            pass  # the server cut the connection as it stopped


@pytest.mark.parametrize("which", ["prometheus", "rulepush"])
def test_a_reload_that_fails_is_told_and_so_is_the_one_that_succeeds(tmp_path: Path, which: str) -> None:
    config, port = tmp_path / "prometheus.yml", free_port()
    flags = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--web.enable-lifecycle"]
    if which == "prometheus":
        command = [binary("prometheus"), *flags, f"--storage.tsdb.path={tmp_path / 'data'}"]
    else:
        command = rulepush_command("run", *flags)
    config.write_text("global: {}\n")
    url = f"http://127.0.0.1:{port}"
    with running(command, tmp_path / "log", f"{url}/-/ready") as server:
        listener = Listener(f"{url}/api/v1/notifications/live")
        wait_for("the head of the answer", lambda: listener.headers)
        assert listener.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in listener.headers
        config.write_text("nonsense\n")
        assert httpx.post(f"{url}/-/reload", trust_env=False, timeout=60).status_code == 500
        wait_for("an event", lambda: [e for e in listener.events if e["text"] == FAILED and e["active"]])
        (shown,) = get_json(f"{url}/api/v1/notifications")["data"]
        assert (shown["text"], shown["active"], set(shown)) == (FAILED, True, {"text", "active", "date"})
        config.write_text("global: {}\n")
        assert httpx.post(f"{url}/-/reload", trust_env=False, timeout=60).status_code == 200
        wait_for("its end", lambda: [e for e in listener.events if e["text"] == FAILED and not e["active"]])
        assert get_json(f"{url}/api/v1/notifications")["data"] == []
        if which == "rulepush":
            server.terminate()  # a listener does not hold up the end
            listener.thread.join(60)
            assert not listener.thread.is_alive()
