"""What is known of Nacos, in one place: its releases, its APIs, what its answers mean, and a server that plays it.

`session` and `dialects` ask its APIs, `knowledge` says what each release exposes and never writes, `diagnose` why an
answer holds no metrics, `fake_server` and `fake_body` play it for the demo and the tests. Docs: docs/nacos-api.md.
"""
