"""How every delivery of a running service stands: Alertmanagers, remote writes, Pushgateways."""

from __future__ import annotations

from rulepush.delivery import DeliveryStatus
from rulepush.service.alerting import Alerting
from rulepush.service.ingestion import Ingestion


def delivery_statuses(alerting: Alerting, ingestion: Ingestion) -> list[DeliveryStatus]:
    """In the order of the configuration, Alertmanagers first."""
    outputs = ingestion.outputs
    return [
        *(loop.status() for loop in alerting.notifier.loops),
        *(sender.status() for sender in outputs.senders),
        *(forwarder.status() for forwarder in outputs.forwarders),
    ]
