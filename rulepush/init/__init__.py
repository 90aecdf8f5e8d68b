"""`rulepush init`: looks at a server, and writes a working directory for it."""
