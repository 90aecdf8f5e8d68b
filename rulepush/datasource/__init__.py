"""Rules on an engine elsewhere: the queries of a datasource over its HTTP API."""
