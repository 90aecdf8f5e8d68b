"""`rulepush init APP`: write a working directory for an app. Each app has its parser here."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from rulepush.cli.init_shared import (
    INIT_EXIT_CODES,
    add_init_options,
    asking_servers,
    host_of,
    print_alertmanagers,
    print_warning,
    probe_alertmanagers,
    question_of_terminal,
    reachable,
    shared_options,
    write_setup,
)
from rulepush.cli.init_spring_boot import add_spring_boot
from rulepush.cli.options import Subparsers, add_command
from rulepush.cli.terminal import terminal_text
from rulepush.clock import SystemClock
from rulepush.errors import RulepushError
from rulepush.init.addresses import Address, AddressError, nacos_address, split_addresses
from rulepush.init.nacos import (
    NACOS_INHIBITIONS,
    NACOS_PACKS,
    NacosTargets,
    ProbedServer,
    nacos_jobs,
    nacos_packs,
    nacos_targets,
)
from rulepush.init.probe import probe_nacos, resolved
from rulepush.init.robots import refuse_robots
from rulepush.init.setup import Setup
from rulepush.nacos.diagnose import TargetProblem
from rulepush.packs import pack


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """A command for each app."""
    p = add_command(subparsers, "init", "Write a working directory for an app: configuration, rules and compose file.")
    apps = p.add_subparsers(title="apps", metavar="APP", required=True)
    _add_nacos(apps)
    add_spring_boot(apps)


def _add_nacos(apps: Subparsers[argparse.ArgumentParser]) -> None:
    p = add_command(
        apps,
        "nacos",
        """Write a working directory for Nacos: the configuration files of rulepush, of Alertmanager and of the relay to
the robots, the rules, a compose file and a README.

Asks each Nacos server for its version and cluster members, and checks that Alertmanager is ready.""",
        INIT_EXIT_CODES,
        [
            "rulepush init nacos --server 10.0.0.1:8848,10.0.0.2:8848 --lang zh \\\n"
            "      --dingtalk 'https://oapi.dingtalk.com/robot/send?access_token=...' --secret SEC...",
            "rulepush init nacos --server http://nacos:8848 --alertmanager http://alertmanager:9093",
        ],
        summary="Nacos server or cluster",
    )
    p.add_argument(
        "--server",
        required=True,
        nargs="+",
        action="extend",
        metavar="URL[,URL...]",
        help="URL of a Nacos server, such as http://nacos:8848, or several, as in Nacos' own server-addr.",
    )
    add_init_options(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Probe the servers, write the files, and print what to do next."""
    try:
        urls = split_addresses(args.server)
        refuse_robots("--server", urls)
        servers = tuple(dict.fromkeys(map(nacos_address, urls)))
        if not servers:
            raise AddressError("--server: no URL is given, such as http://HOST:8848")
        options = shared_options(args)
        place = reachable(options, [host_of(server) for server in servers], question_of_terminal())
        packs = {name: pack(name).read_text(encoding="utf-8") for name in NACOS_PACKS}
        probed, alertmanagers = asyncio.run(_probe(servers, options.alertmanagers))
        found = nacos_targets(probed)
        _print_servers(probed, found)
        print_alertmanagers(alertmanagers, options)
        setup = Setup(
            "nacos",
            "Nacos",
            nacos_jobs(found, options.language),
            nacos_packs(frozenset().union(*(server.result.names for server in probed)), packs),
            place.external_url,
            place.machine,
            options.alertmanagers,
            options.robots,
            NACOS_INHIBITIONS,
            options.language,
        )
        write_setup(args, setup, guessed=place.guessed)
    except BrokenPipeError:  # `| head`: see main
        raise
    except (RulepushError, OSError) as e:
        print(f"rulepush: {e}", file=sys.stderr)
        return 1
    return 0


async def _probe(
    servers: Sequence[Address], alertmanagers: Sequence[Address]
) -> tuple[list[ProbedServer], list[tuple[Address, TargetProblem | None]]]:
    async with asking_servers(), asyncio.TaskGroup() as tasks:
        servers_probed = [tasks.create_task(_probe_server(server, len(servers) > 1)) for server in servers]
        alertmanagers_probed = tasks.create_task(probe_alertmanagers(alertmanagers))
    return [task.result() for task in servers_probed], alertmanagers_probed.result()


async def _probe_server(server: Address, several: bool) -> ProbedServer:
    result = await probe_nacos(server, SystemClock())
    return ProbedServer(server, result, await resolved(server) if several else frozenset())


def _print_servers(probed: Sequence[ProbedServer], found: Sequence[NacosTargets]) -> None:
    for server in probed:
        address, result = server.address, server.result
        if result.trouble is None:
            version = f"Nacos {result.version}" if result.version else "Nacos"
            print(terminal_text(f"{version} at {address.base}: {result.samples} samples"))
        else:
            print_warning(f"Nacos at {address.base} gives no metrics yet", result.trouble)
    for targets in found:
        if len(targets.targets) > 1 and len(probed) == 1:
            print(terminal_text(f"  the cluster has {len(targets.targets)} servers: {', '.join(targets.targets)}"))
        elif targets.added:
            text = f"  the cluster has servers that were not named, added: {', '.join(targets.added)}"
            print(terminal_text(text))
        if targets.strangers:
            print_warning(
                f"the cluster does not name {', '.join(targets.strangers)} as its own",
                TargetProblem(
                    "a server of another cluster, or one that it knows by another address",
                    "It is scraped as it was given.",
                ),
            )
