"""A simulated Nacos server: its metrics endpoint and the few open-API paths that rulepush asks.

    fake = FakeNacos(version="2.4")
    fake.body(ts)              # bytes, a pure function of the attributes and the time
    fake.push_failures += 20   # break something, and later put it back
    uvicorn.run(fake.app)      # or httpx.ASGITransport(fake.app)

    python3 -m rulepush.demo.fake_nacos --port 8848     # to try things without a Nacos

The ordinary values move by themselves (waves and steady counts over the time since `started_at`), so a rule sees
something alive. Only what the attributes below say goes wrong.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Coroutine
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock, SystemClock
from rulepush.demo.nacos_body import NacosReadings, render_body

METRICS_PATH: Final = "/nacos/actuator/prometheus"
CONTENT_TYPE: Final = "text/plain;version=0.0.4;charset=utf-8"
_DAY_MS: Final = 86_400_000


class FakeNacos:
    """One server. All attributes may be changed at any time; a body shows what they say when it is built.

    `version`            "1.4", "2.0", "2.2", "2.4" or "3.0"; more digits are fine
    `down`               every path answers 503, as a gateway does for a dead server
    `metrics_exposed`    False: 404 with Spring's JSON, what a Nacos without the exposure setting answers
    `html`               True: 200 with a login page, what some gateways answer
    `exceptions`         (module, name) -> count of `nacos_exception_total`; a missing key is a missing series
    the other numbers    see NacosReadings; None means "let it move by itself"
    """

    def __init__(
        self,
        version: str = "2.4",
        *,
        clock: Clock | None = None,
        started_at: int | None = None,
        members: tuple[str, ...] = ("127.0.0.1:8848",),
    ):
        self.clock: Clock = clock or SystemClock()
        self.version = version
        self.started_at = self.clock.now() - _DAY_MS if started_at is None else started_at
        self.members = members
        self.down = False
        self.metrics_exposed = True
        self.html = False
        self.leader = True
        self.push_failures = 7.0
        self.push_cost_ms: float = -1.0
        self.push_pending = 0.0
        self.notify_tasks = 0.0
        self.dump_tasks = 0.0
        self.long_polls: float | None = None
        self.long_connections: float | None = None
        self.services: float = 107.0
        self.instances: float = 181.0
        self.configs: float = 3760.0
        self.grpc_queue = 0.0
        self.grpc_rejected = 0.0
        self.http_errors = 0.0
        self.log_errors = 17.0
        self.raft_read_failures = 0.0
        self.old_gen_ratio = 0.26
        self.blocked_threads = 0.0
        self.open_files = 412.0
        self.cpu_ratio: float | None = None
        self.exceptions: dict[tuple[str, str], float] = {}
        self.services_by_name: dict[str, list[str]] = {"orders": ["127.0.0.1:8081"], "users": ["127.0.0.1:8082"]}
        self.app = Starlette(routes=self._routes())

    @property
    def release(self) -> tuple[int, int]:
        """(major, minor)"""
        major, _, rest = self.version.partition(".")
        return int(major), int(rest.partition(".")[0] or 0)

    def heal(self) -> None:
        """Put every knob back to what a healthy server shows; counts that only grow stay where they are."""
        healthy = FakeNacos(self.version, clock=self.clock, started_at=self.started_at, members=self.members)
        growing = {"push_failures", "grpc_rejected", "http_errors", "log_errors", "raft_read_failures", "exceptions"}
        for name, value in vars(healthy).items():
            if name not in growing and name != "app":
                setattr(self, name, value)

    def restart(self, ts: int) -> None:
        """What a restarted process shows: a new start time, counts from zero, no lazily created series."""
        self.started_at = ts
        self.push_failures = self.grpc_rejected = self.http_errors = self.log_errors = self.raft_read_failures = 0.0
        self.exceptions = {}

    def readings(self, ts: int) -> NacosReadings:
        """The numbers at `ts`."""
        major, minor = self.release
        polls = (20 + 4 * _wave(ts, 97)) if major > 1 else (400 + 30 * _wave(ts, 97))
        return NacosReadings(
            major=major,
            minor=minor,
            started_at=self.started_at,
            push_failures=self.push_failures,
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
            old_gen_ratio=self.old_gen_ratio,
            blocked_threads=self.blocked_threads,
            open_files=self.open_files,
            cpu_ratio=_given(self.cpu_ratio, 0.04 + 0.02 * _wave(ts, 61)),
            exceptions=dict(self.exceptions),
        )

    def body(self, ts: int) -> bytes:
        """What the metrics endpoint answers at `ts` (ms since the epoch)."""
        return render_body(self.readings(ts), ts)

    def _routes(self) -> list[Route]:
        paths: dict[str, Callable[[Request], Response]] = {
            METRICS_PATH: self._metrics,
            "/nacos/v1/console/server/state": self._state_v1,
            "/nacos/v1/console/health/readiness": lambda _: Response("OK"),
            "/nacos/v3/admin/core/state": self._state_v3,
            "/nacos/v3/admin/core/state/readiness": lambda _: JSONResponse(_result("ok")),
            "/nacos/v1/core/cluster/nodes": lambda _: JSONResponse(_result(self._nodes())),
            "/nacos/v2/core/cluster/node/list": lambda _: JSONResponse(_result(self._nodes())),
            "/nacos/v3/admin/core/cluster/node/list": lambda _: JSONResponse(_result(self._nodes())),
            "/nacos/v1/ns/service/list": self._services_v1,
            "/nacos/v1/ns/instance/list": self._instances_v1,
            "/nacos/prometheus": lambda _: JSONResponse(self._http_sd()),
        }
        return [Route(path, self._guarded(path, handler)) for path, handler in paths.items()]

    def _guarded(
        self, path: str, handler: Callable[[Request], Response]
    ) -> Callable[[Request], Coroutine[None, None, Response]]:
        async def answer(request: Request) -> Response:  # async: a plain function would run in a thread
            if self.down:
                return Response("no healthy upstream", status_code=503, media_type="text/plain")
            major, minor = self.release
            known = {"v1": major < 3, "v2": (major, minor) >= (2, 2) and major < 3, "v3": major >= 3}
            api = path.split("/")[2]
            if api in known and not known[api]:
                return _not_found(path)
            return handler(request)

        return answer

    def _metrics(self, request: Request) -> Response:
        if self.html:
            return HTMLResponse("<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>")
        if not self.metrics_exposed:
            return _not_found(METRICS_PATH)
        return Response(self.body(self.clock.now()), headers={"content-type": CONTENT_TYPE})

    def _state_v1(self, request: Request) -> Response:
        mode = "standalone" if len(self.members) == 1 else "cluster"
        return JSONResponse({"version": self._full_version(), "standalone_mode": mode, "function_mode": None})

    def _state_v3(self, request: Request) -> Response:
        mode = "standalone" if len(self.members) == 1 else "cluster"
        return JSONResponse(_result({"version": self._full_version(), "startup_mode": mode, "function_mode": None}))

    def _full_version(self) -> str:
        return self.version if self.version.count(".") >= 2 else f"{self.version}.0"

    def _nodes(self) -> list[dict[str, object]]:
        return [
            {
                "ip": host,
                "port": int(port),
                "state": "UP",
                "address": f"{host}:{port}",
                "extendInfo": {"version": self._full_version(), "raftPort": str(int(port) - 1000)},
            }
            for host, _, port in (member.rpartition(":") for member in self.members)
        ]

    def _services_v1(self, request: Request) -> Response:
        return JSONResponse({"count": len(self.services_by_name), "doms": sorted(self.services_by_name)})

    def _instances_v1(self, request: Request) -> Response:
        name = request.query_params.get("serviceName", "").rpartition("@@")[2]
        hosts = [
            {"ip": ip, "port": int(port), "healthy": True, "enabled": True, "weight": 1.0, "metadata": {}}
            for ip, _, port in (address.rpartition(":") for address in self.services_by_name.get(name, []))
        ]
        return JSONResponse({"name": f"DEFAULT_GROUP@@{name}", "groupName": "DEFAULT_GROUP", "hosts": hosts})

    def _http_sd(self) -> list[dict[str, object]]:
        return [
            {"targets": [address], "labels": {"__meta_clusterName": "DEFAULT"}}
            for addresses in self.services_by_name.values()
            for address in addresses
        ]


def _wave(ts: int, period_s: int) -> float:
    """A sine of `ts` with this period: -1 to 1."""
    return math.sin(2 * math.pi * ts / (period_s * 1000))


def _given(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _result(data: object) -> dict[str, object]:
    return {"code": 0, "message": "success", "data": data}


def _not_found(path: str) -> JSONResponse:
    """Spring Boot's own 404, which is also what Nacos answers while its metrics endpoint is not exposed."""
    body = {"timestamp": "2024-10-11T03:12:44.530+00:00", "status": 404, "error": "Not Found", "path": path}
    return JSONResponse({**body, "message": "No message available"}, status_code=404)


def serve_fake_nacos(argv: list[str] | None = None) -> None:
    """Serve one on loopback until interrupted."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python3 -m rulepush.demo.fake_nacos", description="a simulated Nacos server")
    parser.add_argument("--port", type=int, default=8848)
    parser.add_argument("--release", default="2.4.3", help="which Nacos to look like: 1.4, 2.0, 2.2, 2.4.3, 3.0.1 ...")
    args = parser.parse_args(argv)
    fake = FakeNacos(args.release, members=(f"127.0.0.1:{args.port}",))
    print(f"a simulated Nacos {args.release} serves http://127.0.0.1:{args.port}{METRICS_PATH}", flush=True)
    uvicorn.run(fake.app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    serve_fake_nacos()
