"""A simulated Nacos server, for the demo and the tests: its metrics endpoint and the APIs that rulepush asks.

    fake = FakeNacos("2.4.3")
    fake.body(ts)              # bytes, a pure function of the attributes and the time
    fake.push_failures += 20   # break something, and later put it back
    fake.registry.services[("public", "DEFAULT_GROUP", "orders")] = [{"ip": "10.0.0.1", "port": 80}]
    uvicorn.run(fake.app)      # or httpx.ASGITransport(fake.app), or fake.transport()

    python3 -m rulepush.nacos.fake_server --port 8848     # to try things without a Nacos

It follows the release in both (fake_body.py, fake_api.py say from which sources). The ordinary values move by
themselves (waves and steady counts over the time since `started_at`), so a rule sees something alive. Only what the
attributes below say goes wrong, and only what the release really writes can be seen to.
"""

from __future__ import annotations

import argparse
import math
from typing import Final
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.clock import Clock, SystemClock
from rulepush.nacos.fake_api import DEFAULT_GROUP, FakeApi, FakeCall, FakeRegistry, FakeReply, not_found
from rulepush.nacos.fake_body import NacosReadings, render_body
from rulepush.nacos.releases import WITHOUT_METRICS, Release, parse_release

METRICS_PATH: Final = "/nacos/actuator/prometheus"
CONTENT_TYPE: Final = "text/plain;version=0.0.4;charset=utf-8"
_DAY_MS: Final = 86_400_000
# What counts on for the life of the process.
_GROWING: Final = (
    *("push_failures", "empty_pushes", "grpc_rejected", "http_errors", "log_errors", "raft_read_failures"),
    *("locks", "lock_failures"),
)


class FakeNacos:
    """One server. All attributes may be changed at any time; a body shows what they say when it is built.

    `version`            "2.4.3"; "2.4" stands for the newest of its line
    `registry`           what the APIs show
    `down`               every path answers 503, as a gateway does for a dead server
    `unreachable`        nothing is answered at all (transport() only)
    `metrics_exposed`    False: 404 with Spring's JSON, what a Nacos without the exposure setting answers
    `html`               True: 200 with a login page, what some gateways answer
    `leader`             only releases before 1.4 show it in their metrics
    `exceptions`         (module, name) -> count of `nacos_exception_total`; a missing key is a missing series, and so
                         is what the release never counts
    `requests`           what came over transport()
    the other numbers    see NacosReadings; None means "let it move by itself"
    """

    def __init__(
        self,
        version: str = "2.4",
        *,
        clock: Clock | None = None,
        started_at: int | None = None,
        members: tuple[str, ...] = ("127.0.0.1:8848",),
        context: str = "/nacos",
    ):
        self.clock: Clock = clock or SystemClock()
        self.version = version
        self.started_at = self.clock.now() - _DAY_MS if started_at is None else started_at
        self.context = context
        self.registry = FakeRegistry(members=[(h, int(p), "UP") for h, _, p in (m.rpartition(":") for m in members)])
        self.registry.services = {
            ("public", DEFAULT_GROUP, "orders"): [{"ip": "127.0.0.1", "port": 8081}],
            ("public", DEFAULT_GROUP, "users"): [{"ip": "127.0.0.1", "port": 8082}],
        }
        self.requests: list[httpx.Request] = []
        self.unreachable = False
        self.push_failures = 7.0
        self.empty_pushes = 11.0
        self.grpc_rejected = 0.0
        self.http_errors = 0.0
        self.log_errors = 17.0
        self.raft_read_failures = 0.0
        self.locks = 0.0
        self.lock_failures = 0.0
        self.exceptions: dict[tuple[str, str], float] = {}
        self.heal()
        self._api = FakeApi(self.registry, lambda: self.release, lambda: self.full_version)
        self.app = Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "POST"])])

    @property
    def release(self) -> Release:
        """Raises ValueError when `version` is none."""
        release = parse_release(self.version)
        if release is None:
            raise ValueError(f"no release of Nacos: {self.version!r}")
        return release

    @property
    def full_version(self) -> str:
        """As the server tells it."""
        return ".".join(map(str, self.release))

    def heal(self) -> None:
        """Put every knob to what a healthy server shows; counts that only grow stay where they are."""
        self.down = False
        self.metrics_exposed = True
        self.html = False
        self.leader = True
        self.push_cost_ms = -1.0
        self.push_pending = 0.0
        self.notify_tasks = 0.0
        self.dump_tasks = 0.0
        self.long_polls: float | None = None
        self.long_connections: float | None = None
        self.services = 107.0
        self.instances = 181.0
        self.configs = 3760.0
        self.grpc_queue = 0.0
        self.old_gen_ratio = 0.26
        self.blocked_threads = 0.0
        self.open_files = 412.0
        self.cpu_ratio: float | None = None

    def restart(self, ts: int) -> None:
        """What a restarted process shows: a new start time, counts from zero, no lazily created series."""
        self.started_at = ts
        for name in _GROWING:
            setattr(self, name, 0.0)
        self.exceptions = {}

    def readings(self, ts: int) -> NacosReadings:
        """The numbers at `ts`."""
        polls = (20 + 4 * _wave(ts, 97)) if self.release >= (2, 0, 0) else (400 + 30 * _wave(ts, 97))
        return NacosReadings(
            release=self.release,
            started_at=self.started_at,
            push_failures=self.push_failures,
            empty_pushes=self.empty_pushes,
            push_cost_ms=self.push_cost_ms,
            push_pending=self.push_pending,
            notify_tasks=self.notify_tasks,
            dump_tasks=self.dump_tasks,
            long_polls=_given(self.long_polls, round(polls)),
            long_connections=_given(self.long_connections, round(600 + 9 * _wave(ts, 131))),
            services=self.services,
            instances=self.instances,
            configs=self.configs,
            leader=self.leader,
            grpc_queue=self.grpc_queue,
            grpc_rejected=self.grpc_rejected,
            http_errors=self.http_errors,
            log_errors=self.log_errors,
            raft_read_failures=self.raft_read_failures,
            locks=self.locks,
            lock_failures=self.lock_failures,
            old_gen_ratio=self.old_gen_ratio,
            blocked_threads=self.blocked_threads,
            open_files=self.open_files,
            cpu_ratio=_given(self.cpu_ratio, 0.04 + 0.02 * _wave(ts, 61)),
            exceptions=dict(self.exceptions),
        )

    def body(self, ts: int) -> bytes:
        """What the metrics endpoint answers at `ts` (ms since the epoch)."""
        return render_body(self.readings(ts), ts)

    def transport(self) -> httpx.MockTransport:
        """Answers in place, without a server."""
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of httpx. Raises httpx.ConnectError while the server is `unreachable`."""
        self.requests.append(request)
        if self.unreachable:
            raise httpx.ConnectError("connection refused", request=request)
        form = dict(parse_qsl(request.content.decode()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = FakeCall(request.method, request.url.path, dict(request.url.params), headers, form)
        status, kind, content = self._answer(call)
        return httpx.Response(status, headers={"content-type": kind}, content=content)

    async def _serve(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = FakeCall(request.method, request.url.path, dict(request.query_params), headers, form)
        status, kind, content = self._answer(call)
        return Response(content, status, headers={"content-type": kind})

    def _answer(self, call: FakeCall) -> tuple[int, str, bytes]:
        """Status, content type, body."""
        if self.down:
            return 503, "text/plain", b"no healthy upstream"
        if self.html:
            return 200, "text/html;charset=utf-8", b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
        inner = call.path.removeprefix(self.context)
        if not call.path.startswith(f"{self.context}/"):
            reply = not_found(call.path)
        elif inner == "/actuator/prometheus":
            if self.metrics_exposed and self.release not in WITHOUT_METRICS:
                return 200, CONTENT_TYPE, self.body(self.clock.now())
            reply = not_found(call.path)
        elif inner == "/prometheus":
            reply = FakeReply(self._http_sd())
        else:
            reply = self._api.answer(FakeCall(call.method, inner, call.params, call.headers, call.form))
        kind = "text/plain;charset=utf-8" if isinstance(reply.body, str) else "application/json;charset=utf-8"
        return reply.status, kind, reply.text.encode()

    def _http_sd(self) -> list[dict[str, object]]:
        """PrometheusController.java, with nacos.prometheus.metrics.enabled=true."""
        return [
            {"targets": [f"{i['ip']}:{i['port']}"], "labels": {"__meta_clusterName": i.get("clusterName", "DEFAULT")}}
            for instances in self.registry.services.values()
            for i in instances
        ]


def _wave(ts: int, period_s: int) -> float:
    """A sine of `ts` with this period: -1 to 1."""
    return math.sin(2 * math.pi * ts / (period_s * 1000))


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def serve_fake_nacos(argv: list[str] | None = None) -> None:
    """Serve one on loopback until interrupted."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python3 -m rulepush.nacos.fake_server", description="a simulated Nacos")
    parser.add_argument("--port", type=int, default=8848)
    parser.add_argument("--release", default="2.4.3", help="which Nacos to look like: 1.4, 2.0, 2.2, 2.4.3, 3.0.1 ...")
    args = parser.parse_args(argv)
    if parse_release(args.release) is None:
        parser.error(f"--release: {args.release!r} is no release such as 2.4.3")
    fake = FakeNacos(args.release, members=(f"127.0.0.1:{args.port}",))
    print(f"a simulated Nacos {fake.full_version} serves http://127.0.0.1:{args.port}{METRICS_PATH}", flush=True)
    uvicorn.run(fake.app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    serve_fake_nacos()
