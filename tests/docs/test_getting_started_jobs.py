"""The getting-started pages for jobs, walked word by word in an empty directory, with a real Alertmanager."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.packs import pack
from tests.docs.walk import Walk
from tests.needs import ROOT
from tests.servers import alertmanager_command, free_port, running

pytestmark = pytest.mark.e2e

GUIDE = ROOT / "docs" / "getting-started-jobs.md"


def follow(page: Path, directory: Path) -> None:
    port, am = free_port(), free_port()
    command = alertmanager_command(directory / "am", am)
    with running(command, directory / "am.log", f"http://127.0.0.1:{am}/-/ready"):
        walk = Walk(
            page,
            directory / "walk",
            replace={
                "127.0.0.1:9093": f"127.0.0.1:{am}",
                "9095": str(port),
                "--storage.path data": f"--storage.path data --web.listen-address 127.0.0.1:{port}",
                "cp rules/jobs.yml": f"cp {pack('jobs')}",
            },
            instead={"python3 -m venv": ":", ".venv/bin/pip install": ":"},
            excused={"30 2 * * *": "a line of a crontab"},
            ready={"rulepush run": f"http://127.0.0.1:{port}/-/ready"},
            patience_s=120,
        )
        with walk:
            walk.run(f"export RULEPUSH_PUSH_URL=http://127.0.0.1:{port}")  # the page uses the default
            walk.rest()
            assert (walk.cwd / "backup.service").is_file()


def test_the_page_can_be_followed(tmp_path: Path) -> None:
    """In English: that the other has the same blocks is a test of the pages."""
    follow(GUIDE, tmp_path)
