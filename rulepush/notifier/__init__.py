"""From alerts to Alertmanager: alert relabelling, an outbox and a sending loop for each Alertmanager, its discovery."""
