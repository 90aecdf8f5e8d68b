"""Fake Nacos servers for the tests of nacos_sd_configs."""

from __future__ import annotations

from typing import Any

from rulepush.nacos.fake_server import FakeNacos

VERSIONS = {1: "1.4.6", 2: "2.4.3", 3: "3.0.3"}
OLD = "1.2.1"  # before the cluster module


def fake_nacos(major: int, old: bool = False, *, version: str = "", context: str = "/nacos", **shown: Any) -> FakeNacos:
    """A server of this major version, or of `version`. `shown` are attributes of its FakeRegistry."""
    nacos = FakeNacos(version or (OLD if old else VERSIONS[major]), context=context, members=("10.0.0.1:8848",))
    nacos.registry.services = {}
    for name, value in shown.items():
        setattr(nacos.registry, name, value)
    return nacos
