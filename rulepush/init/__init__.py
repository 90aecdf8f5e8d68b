"""`rulepush init`: probes a server, and writes a working directory for it."""
