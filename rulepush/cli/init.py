"""`rulepush init nacos`: write a working directory for a Nacos server and an Alertmanager."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from rulepush.cli.options import Subparsers, add_command
from rulepush.clock import SystemClock
from rulepush.errors import RulepushError
from rulepush.init.addresses import Address, alertmanager_address, nacos_address
from rulepush.init.files import CONFIG, PACKS, working_directory
from rulepush.init.probe import ProbeResult, ask_alertmanager, probe_nacos
from rulepush.init.write import write_files
from rulepush.nacos.diagnose import TargetProblem
from rulepush.notifier.probe import AlertmanagerProbe
from rulepush.packs import pack


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """`init nacos`."""
    p = add_command(subparsers, "init", "Write a working directory for an app: configuration, rules and compose file.")
    apps = p.add_subparsers(title="apps", metavar="APP", required=True)
    nacos = add_command(
        apps,
        "nacos",
        """Write a working directory for a Nacos server: configuration, rules and a compose file.

Asks Nacos for its version and cluster members, and checks that Alertmanager is ready.""",
        {0: "The files are written, with warnings when a server does not answer yet.", 1: "Nothing is written."},
        ["rulepush init nacos --server http://nacos:8848 --alertmanager http://alertmanager:9093"],
        summary="Nacos server or cluster",
    )
    nacos.add_argument(
        "--server", required=True, metavar="URL", help="URL of a Nacos server, such as http://nacos:8848."
    )
    nacos.add_argument(
        "--alertmanager", required=True, metavar="URL", help="URL of Alertmanager, such as http://alertmanager:9093."
    )
    nacos.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="Directory to write to.")
    nacos.add_argument("--force", action="store_true", help="Overwrite existing files whose content differs.")
    nacos.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Probe the servers, write the files, and print what to do next."""
    try:
        server, alertmanager = nacos_address(args.server), alertmanager_address(args.alertmanager)
        packs = {name: pack(name).read_text(encoding="utf-8") for name in PACKS}
        probe, asked = asyncio.run(_probe(server, alertmanager))
        if not probe.basic_auth:  # the credentials are for Nacos' own login, which the metrics endpoint does not use
            server = replace(server, username="", password="")
        files = working_directory(server, probe.members, alertmanager, packs)
        _print_probes(server, probe, alertmanager, asked)
        write_files(args.dir, files, force=args.force)
    except (RulepushError, OSError) as e:
        print(f"rulepush: {e}", file=sys.stderr)
        return 1
    print(f"\nwritten to {args.dir.resolve()}: {', '.join(f.path for f in files)}")
    if any(f.secret for f in files):
        print(f"{CONFIG} contains a password and is readable by you only; for the container: chown 10001 {CONFIG}")
    config = shlex.quote(os.path.join(args.dir, CONFIG))
    print(
        f"""
next:
  rulepush run --config.file {config} --storage.path {shlex.quote(os.path.join(args.dir, "data"))}
  rulepush check live --config.file {config}     # reports rules that can never fire

The alert Watchdog of rules/self.yml fires all the time, to show that alerts get through: route it to a dead man's
switch, or delete it."""
    )
    return 0


async def _probe(server: Address, alertmanager: Address) -> tuple[ProbeResult, AlertmanagerProbe]:
    async with asyncio.TaskGroup() as tasks:
        probe = tasks.create_task(probe_nacos(server, SystemClock()))
        asked = tasks.create_task(ask_alertmanager(alertmanager))
    return probe.result(), asked.result()


def _print_probes(server: Address, probe: ProbeResult, alertmanager: Address, asked: AlertmanagerProbe) -> None:
    version = f"Nacos {probe.version}" if probe.version else "Nacos"
    if probe.trouble is None:
        print(f"{version} at {server.base}: {probe.samples} samples")
    else:
        _warn(f"Nacos at {server.base} gives no metrics yet", probe.trouble)
    if len(probe.members) > 1:
        print(f"  the cluster has {len(probe.members)} servers: {', '.join(probe.members)}")
    if not asked.fault:
        print(f"Alertmanager{f' {asked.version}' if asked.version else ''} at {alertmanager.base}: ready")
        return
    hint = "Give the credentials as http://USER:PASSWORD@HOST:9093." if asked.status in (401, 403) else ""
    _warn(f"Alertmanager at {alertmanager.base} cannot take alerts yet", TargetProblem(asked.fault, hint))


def _warn(what: str, trouble: TargetProblem) -> None:
    print(f"warning: {what}: {trouble.message}", file=sys.stderr)
    if trouble.suggestion:
        print(f"  {trouble.suggestion}", file=sys.stderr)
