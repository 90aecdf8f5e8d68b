"""What is known of Nacos, in one place: its releases, its APIs, what its answers mean, and a server that simulates it.

`session` and `dialects` query its APIs, `knowledge` has what each release exposes and never writes, `diagnose`
explains an answer without metrics, `fake_server` and `fake_body` simulate it for the demo and the tests. See
docs/nacos-api.md.
"""
