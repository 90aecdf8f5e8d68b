"""`rulepush demo` and the simulated Nacos that it, and the tests, watch."""
