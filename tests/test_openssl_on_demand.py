"""asyncio speaks TLS, though it was imported before `ssl`: as real processes, for here `ssl` is there already."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

import rulepush
from tests.http_client.certificates import Authority, client_context
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import free_port, wait_for

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(rulepush.__file__).parents[1])}

_PROBED_ONLY = """
import sys
from importlib.util import find_spec
from rulepush.openssl_on_demand import import_asyncio_without_ssl

import_asyncio_without_ssl()
import asyncio.base_events, asyncio.selector_events, asyncio.sslproto
assert "ssl" not in sys.modules and "_ssl" not in sys.modules and "_hashlib" not in sys.modules
finders = len(sys.meta_path)
assert find_spec("ssl") is not None and "ssl" not in sys.modules

import ssl
users = [asyncio.base_events, asyncio.selector_events, asyncio.sslproto]
assert all(user.ssl is ssl for user in users)
assert asyncio.sslproto.SSLAgainErrors == (ssl.SSLWantReadError, ssl.SSLSyscallError)
assert len(sys.meta_path) == finders - 1
assert ssl.__spec__.loader is ssl.__loader__ and ssl.__loader__.get_source("ssl")

import_asyncio_without_ssl()  # too late: nothing happens
assert asyncio.base_events.ssl is ssl and len(sys.meta_path) == finders - 1
"""


def test_asyncio_gets_ssl_when_it_is_imported_first_and_not_when_it_is_only_looked_for() -> None:
    subprocess.run([sys.executable, "-c", _PROBED_ONLY], env=_ENVIRONMENT, check=True, timeout=120)


_WHILE_OTHERS_IMPORT = """
import gc
import sys
from types import ModuleType
from rulepush.openssl_on_demand import import_asyncio_without_ssl

import_asyncio_without_ssl()
import asyncio.sslproto

def another_thread_imports(phase, info):
    name = f"other{len(sys.modules)}"
    sys.modules[name] = ModuleType(name)

gc.set_threshold(1)
gc.callbacks.append(another_thread_imports)
import ssl
gc.callbacks.clear()
assert asyncio.sslproto.ssl is ssl
"""


def test_modules_that_other_threads_import_meanwhile_do_no_harm() -> None:
    """A thread takes its turn during a collection of garbage, which the look at all modules may cause."""
    subprocess.run([sys.executable, "-c", _WHILE_OTHERS_IMPORT], env=_ENVIRONMENT, check=True, timeout=120)


RULES = """
groups:
- name: over TLS
  rules:
  - {alert: Seen, expr: m > 0}
"""


@pytest.mark.parametrize("serves_tls", [False, True])
def test_a_run_scrapes_and_sends_over_tls(tmp_path: Path, serves_tls: bool) -> None:
    """Without TLS for what it serves, the first to import `ssl` is the client of the target, in the running loop."""
    authority = Authority("test")
    authority.write(tmp_path / "ca.pem")
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem")
    sent = threading.Event()

    def reply(request: HttpRequest) -> HttpReply:
        if request.method == "POST":
            sent.set()
        return HttpReply(b"{}" if request.method == "POST" else b"m 1\n")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = LoopbackServer(reply, context)
    tls = {"scheme": "https", "tls_config": {"ca_file": "ca.pem"}, "static_configs": [{"targets": [server.address]}]}
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "j", **tls}],
        "alerting": {"alertmanagers": [tls]},
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    port = free_port()
    command = [sys.executable, "-m", "rulepush", "run", f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*command, "--web.config.file=web.yml"] if serves_tls else command, cwd=tmp_path, env=_ENVIRONMENT
    )
    try:
        assert sent.wait(60)
        trusted = client_context(tmp_path / "ca.pem")
        url = f"{'https' if serves_tls else 'http'}://127.0.0.1:{port}/-/ready"
        assert wait_for("ready", lambda: httpx.get(url, verify=trusted, trust_env=False).is_success)
    finally:
        process.terminate()
        assert process.wait(60) == 0
        server.close()
