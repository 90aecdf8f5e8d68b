"""What takes a body: the push receiver, the remote write receiver and the API's forms, as `build_app` serves them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rulepush.push.groups import PushedGroups
from rulepush.push.http import push_routes
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.http import remote_write_routes
from rulepush.remote.receiver import WriteLimits
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.security import WebSecurity
from rulepush.web.server import build_app
from tests.fakes import FakeClock
from tests.push.fixtures import MemoryStore
from tests.web.test_params import ROUTES as FORM_ROUTES
from tests.web.upload import upload

LIMIT = 1000


class Endpoints:
    """One application with all of them."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.groups = PushedGroups(MemoryStore())
        self.receiver = RemoteWriteReceiver(Head(Demand.of([])), WriteLimits(max_body_bytes=LIMIT))
        routes = [
            *push_routes(self.groups, clock, max_body_bytes=LIMIT),
            *remote_write_routes(self.receiver, clock),
            *FORM_ROUTES,
        ]
        self.app = build_app(routes, WebSecurity())


@pytest.mark.parametrize("path", ["/metrics/job/j", "/api/v1/write", "/echo"])
def test_a_client_that_disconnects_within_the_body_changes_nothing_and_is_no_error(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints = Endpoints()
    with caplog.at_level(logging.INFO):
        assert asyncio.run(upload(endpoints.app, path, [b"a 1\n"], complete=False)) == 499
    assert caplog.records == []
    assert len(endpoints.groups) == 0
    assert endpoints.receiver.counts.requests == 0


@pytest.mark.parametrize("path", ["/metrics/job/j", "/api/v1/write"])
def test_a_body_beyond_the_limit_is_413(path: str) -> None:
    endpoints = Endpoints()
    assert asyncio.run(upload(endpoints.app, path, [b"#" * 999, b"#" * 2], complete=True)) == 413
    assert endpoints.receiver.counts.refused_requests == (1 if "write" in path else 0)


def test_complete_bodies_are_taken() -> None:
    endpoints = Endpoints()
    assert asyncio.run(upload(endpoints.app, "/metrics/job/j", [b"a", b" 1\n"], complete=True)) == 200
    assert len(endpoints.groups) == 1
    assert asyncio.run(upload(endpoints.app, "/api/v1/write", [b"\x00"], complete=True)) == 204
    assert asyncio.run(upload(endpoints.app, "/echo", [b"a=1"], complete=True)) == 200
