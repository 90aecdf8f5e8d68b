"""Heartbeats: calls to a service that raises the alarm when they stop, made only while rulepush can tell of alerts.

`work` decides whether it can (pure), `answer` what a receiver's answer means, `sender` does the I/O.
"""
