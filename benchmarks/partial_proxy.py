"""A way to an engine that may lose a storage node: while the file FLAG is there, answers to queries lack half of the
series and say so, as vmselect of a VictoriaMetrics cluster does (`isPartial`).

usage: partial_proxy.py PORT ENGINE_PORT FLAG
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

_KEPT: Final = threading.local()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine_port = 0
    flag = Path()

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {"content-type", "content-encoding", "x-prometheus-remote-write-version"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        try:
            status, kind, body = self._asked(content, headers)
        except OSError as e:
            status, kind, body = 502, "text/plain", str(e).encode()
        if self.flag.exists() and "/query" in self.path and status == 200:
            body = _without_half(json.loads(body))
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asked(self, content: bytes, headers: dict[str, str]) -> tuple[int, str, bytes]:
        connection = getattr(_KEPT, "connection", None)
        if connection is None:
            connection = _KEPT.connection = http.client.HTTPConnection("127.0.0.1", self.engine_port, timeout=30)
        try:
            connection.request(self.command, self.path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except (OSError, http.client.HTTPException) as e:
            _KEPT.connection = None
            raise OSError(str(e) or type(e).__name__) from e

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _without_half(answer: dict[str, Any]) -> bytes:
    data = answer["data"]
    if data["resultType"] == "vector":
        data["result"] = [e for e in data["result"] if zlib.crc32(json.dumps(e["metric"]).encode()) % 2]
    return json.dumps({"status": answer["status"], "isPartial": True, "data": data}).encode()


def main() -> None:
    """Serve until killed."""
    _Handler.engine_port, _Handler.flag = int(sys.argv[2]), Path(sys.argv[3])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
