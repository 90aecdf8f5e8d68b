"""What a running service says of its deliveries."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rulepush.delivery import ReceiverKind
from rulepush.service.delivery import delivery_statuses
from tests.faults.inside import Inside


def test_every_receiver_of_the_configuration_has_its_status(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: m > 50}", targets=("a",))
    inside.network.metrics["a"] = "m 99\n"
    config = tmp_path / "prometheus.yml"
    outputs = "remote_write: [{name: far, url: 'http://user:hush@far:9/write?token=hush'}]\n"
    outputs += "pushgateways: [{name: gate, url: 'http://gate:9091', jobs: [app]}]\n"
    config.write_text(config.read_text() + outputs)
    inside.network.down |= {"am2", "far", "gate"}

    async def go() -> None:
        async with inside.running() as app:
            await inside.clock.advance(60)
            found = {s.name: s for s in delivery_statuses(app.alerting, app.ingestion)}
        one, two = found["http://am1/api/v2/alerts"], found["http://am2/api/v2/alerts"]
        assert (one.kind, one.failing, one.accepted > 0) == (ReceiverKind.ALERTMANAGER, False, True)
        assert (two.failing, two.waiting) == (True, 1)
        far, gate = found["far"], found["gate"]
        assert (far.kind, far.failing, far.address) == (ReceiverKind.REMOTE_WRITE, True, "http://far:9")
        assert (gate.kind, gate.failing, gate.waiting) == (ReceiverKind.PUSHGATEWAY, True, 1)
        assert "hush" not in repr(found)

    asyncio.run(go())
