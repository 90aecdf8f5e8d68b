"""`rulepush init spring-boot`: write a working directory for Spring Boot applications."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from rulepush import __version__
from rulepush.cli.init_shared import (
    INIT_EXIT_CODES,
    add_init_options,
    asking_servers,
    print_alertmanagers,
    print_warning,
    probe_alertmanagers,
    question_of_terminal,
    reachable,
    shared_options,
    write_setup,
)
from rulepush.cli.options import Subparsers, add_command
from rulepush.clock import SystemClock
from rulepush.config.sections import ScrapeConfig
from rulepush.errors import RulepushError
from rulepush.init.addresses import Address, AddressError, split_addresses
from rulepush.init.robots import refuse_robots
from rulepush.init.setup import Setup
from rulepush.init.spring_boot import (
    BOOT_INHIBITIONS,
    BOOT_PACKS,
    BOOT_PORT,
    application_name,
    boot_jobs,
    boot_packs,
    strangers,
)
from rulepush.livecheck.candidates import NamedTarget, target_jobs, visit_target
from rulepush.livecheck.fetch import Visit, environment
from rulepush.livecheck.report import looks_like
from rulepush.nacos.diagnose import METRICS, TargetProblem
from rulepush.packs import pack


def add_spring_boot(apps: Subparsers[argparse.ArgumentParser]) -> None:
    """`init spring-boot`."""
    p = add_command(
        apps,
        "spring-boot",
        """Write a working directory for Spring Boot applications: the configuration files of rulepush, of Alertmanager
and of the relay to the robots, the rules for what they are, a compose file, a manifest of a sidecar for Kubernetes, and
a README.

Asks each application for its metrics, and checks that Alertmanager is ready.""",
        INIT_EXIT_CODES,
        [
            "rulepush init spring-boot --target http://orders:8080 --alertmanager http://alertmanager:9093",
            "rulepush init spring-boot --target 10.0.0.1:8080,10.0.0.2:8080 --lang zh \\\n"
            "      --dingtalk 'https://oapi.dingtalk.com/robot/send?access_token=...' --secret SEC...",
        ],
        summary="Spring Boot applications, and others on a JVM",
    )
    p.add_argument(
        "--target",
        required=True,
        nargs="+",
        action="extend",
        metavar="URL[,URL...]",
        help="URL of an application, such as http://orders:8080, or several; can contain user:password@. Without a "
        f"path, {METRICS} and other usual ones are tried; without a port, {BOOT_PORT}.",
    )
    add_init_options(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Probe the applications, write the files, and print what to do next."""
    try:
        urls = split_addresses(args.target)
        refuse_robots("--target", urls)
        likely = [_likely(url) for url in urls]
        if not likely:
            raise AddressError(f"--target: no URL is given, such as http://HOST:{BOOT_PORT}")
        options = shared_options(args)
        hosts = [urlsplit(url if "://" in url else f"//{url}").hostname or "" for url in urls]
        place = reachable(options, hosts, question_of_terminal())
        packs = {name: pack(name).read_text(encoding="utf-8") for name in BOOT_PACKS}
        found, alertmanagers = asyncio.run(_probe(likely, options.alertmanagers))
        _print_targets(found)
        print_alertmanagers(alertmanagers, options)
        setup = Setup(
            "spring-boot",
            "Spring Boot",
            boot_jobs(found),
            boot_packs(found, packs),
            place.external_url,
            place.machine,
            options.alertmanagers,
            options.robots,
            BOOT_INHIBITIONS,
            options.language,
            sidecar=True,
        )
        write_setup(args, setup, guessed=place.guessed)
    except BrokenPipeError:  # `| head`: see main
        raise
    except (RulepushError, OSError) as e:
        print(f"rulepush: {e}", file=sys.stderr)
        return 1
    return 0


def _likely(url: str) -> list[ScrapeConfig]:
    try:
        return target_jobs(url, usual_port=BOOT_PORT)
    except ValueError as e:
        raise AddressError(str(e)) from None


async def _probe(
    likely: Sequence[Sequence[ScrapeConfig]], alertmanagers: Sequence[Address]
) -> tuple[list[NamedTarget], list[tuple[Address, TargetProblem | None]]]:
    env = environment(SystemClock(), f"rulepush/{__version__}")
    async with asking_servers(), asyncio.TaskGroup() as tasks:
        targets = [tasks.create_task(visit_target(jobs, env, Visit())) for jobs in likely]
        probed = tasks.create_task(probe_alertmanagers(alertmanagers))
    return [task.result() for task in targets], probed.result()


def _print_targets(found: Sequence[NamedTarget]) -> None:
    for target in found:
        answer = target.answer
        if answer.trouble is not None:
            print_warning(f"{answer.url} gives no metrics yet", answer.trouble)
            continue
        kind = looks_like(answer)
        like = f", looks like {kind}" if kind else ""
        print(f"{application_name(target)} at {answer.url}: {len(answer.scrapes[-1].samples)} samples{like}")
    for target in strangers(found):
        print_warning(
            f"{target.answer.url} does not look like Spring Boot",
            TargetProblem(
                "it has no metrics of its own that tell of it",
                "It is scraped as it is; the rules are those for what it looks like.",
            ),
        )
