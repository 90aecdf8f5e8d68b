"""HTTP clients with the credentials, TLS and proxies of Prometheus' configuration.

Names are imported from the modules: who needs the settings alone does without httpx.
"""
