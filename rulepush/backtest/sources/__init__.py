"""Samples from elsewhere than rulepush's own recording, as the events of one: from a server with the Prometheus HTTP
API, and from a dump of its samples in a file."""
