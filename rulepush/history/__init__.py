"""What became of alerts: their changes of state with the reasons, and what each Alertmanager answered. Bounded."""
