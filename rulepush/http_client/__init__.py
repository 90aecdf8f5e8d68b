"""HTTP clients with the credentials, TLS and proxies of Prometheus' configuration."""
