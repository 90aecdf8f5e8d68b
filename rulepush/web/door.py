"""From `--web.config.file` to the door of a server. What it needs is imported only when there is such a file."""

from __future__ import annotations

from rulepush.web.server import Door


def open_door(path: str) -> Door:
    """The door that the file describes; "" lets everybody in that reaches the socket. Raises ConfigError."""
    if not path:
        return Door()
    from rulepush.config.web_config import load_web_config

    config = load_web_config(path)
    passwords = config.passwords()
    return Door(config.tls_context(), passwords.verify if passwords else None, config.headers)
