"""`rulepush demo`: show the life of an alert, with simulated servers."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Final

from rulepush.cli.options import Subparsers, add_command, add_log_level
from rulepush.demo.stage import open_stage
from rulepush.demo.story import INTRODUCTION, Narrator, StoryProgress, show_one_life
from rulepush.logs import setup_logging

PAUSE_SECONDS: Final = 20.0


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """--once and --log.level."""
    p = add_command(
        subparsers,
        "demo",
        """Show the life of an alert, from scrape to resolution, with a simulated Nacos and an Alertmanager.

Everything runs on this machine, in a temporary directory. Alertmanager is the real one when it is on PATH.""",
        {0: "Stopped by Ctrl-C, or --once and the alert was resolved.", 1: "A step did not happen in time."},
    )
    p.add_argument("--once", action="store_true", help="Exit after one alert was resolved; otherwise start again.")
    add_log_level(p, "error")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 after Ctrl-C, or with --once when the alert was resolved; 1 when a step did not happen in time."""
    setup_logging(args.log_level, "logfmt")
    with tempfile.TemporaryDirectory(prefix="rulepush-demo-") as directory:
        return asyncio.run(_demo(Path(directory), args.once))


async def _demo(directory: Path, once: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    narrator, progress = Narrator(), StoryProgress()
    narrator.plain(INTRODUCTION)
    try:
        return await _run_story(directory, once, narrator, progress)
    except asyncio.CancelledError:
        if not stopped:
            raise
        narrator.plain("\nstopped")
        return 0


async def _run_story(directory: Path, once: bool, narrator: Narrator, progress: StoryProgress) -> int:
    async with open_stage(directory, progress.arrivals.append, progress.messages.append) as stage:
        page = f"http://127.0.0.1:{stage.app.port}/alerts"
        narrator.say("demo", f"everything runs; alerts go to {stage.alertmanager}")
        narrator.say("demo", f"files in {directory}, pages at {page}")
        while True:
            if not await show_one_life(stage, progress, narrator):
                return 1
            if once:
                narrator.say("demo", "that was its whole life")
                return 0
            narrator.say(
                "demo", f"that was its whole life; the next begins in {PAUSE_SECONDS:.0f}s, Ctrl-C ends the demo"
            )
            await asyncio.sleep(PAUSE_SECONDS)
