"""rulepush: scrape pull-only apps, evaluate Prometheus rules in memory, push alerts to Alertmanager."""

__version__ = "0.1.0"
