"""The commands that start what a working directory is for, by hand: the README has them, and the output of `init`."""

from __future__ import annotations

from rulepush.init.setup import ALERTMANAGER, CONFIG, DINGTALK, PORT, RELAY_PORT, Setup


def run_command(setup: Setup) -> str:
    """Starts rulepush, in the directory."""
    listen = f" --web.listen-address=0.0.0.0:{PORT}" if setup.is_open else ""
    return f"rulepush run --config.file={CONFIG} --storage.path=data{listen} --web.external-url={setup.external_url}"


def relay_command(setup: Setup) -> str:
    """Starts the relay to the robots; "" where there is none."""
    if not setup.robots:
        return ""
    listen = f" --web.listen-address=0.0.0.0:{RELAY_PORT}" if setup.relay_is_open else ""
    return f"rulepush dingtalk --config.file={DINGTALK} --storage.path=relay-data{listen}"


def alertmanager_command(setup: Setup) -> str:
    """Starts the Alertmanager; "" where there is one already."""
    if not setup.brings_alertmanager:
        return ""
    return (
        f"{setup.alertmanager_program} --config.file={ALERTMANAGER} --storage.path=alertmanager-data "
        f"--cluster.listen-address= --web.external-url={setup.alertmanager_url}"
    )


def start_commands(setup: Setup) -> tuple[str, ...]:
    """All of them, in the order in which they depend on each other."""
    commands = (alertmanager_command(setup), relay_command(setup), run_command(setup))
    return tuple(command for command in commands if command)


def test_command(setup: Setup) -> str:
    """Sends a test alert on the whole way, from the directory; "" where nobody would hear of it."""
    if not setup.robots:
        return ""
    return f"rulepush test delivery --config.file={CONFIG} --relay=http://127.0.0.1:{RELAY_PORT}"
