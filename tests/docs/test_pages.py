"""The pages for users: links lead somewhere, commands can be typed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rulepush.__main__ import parse_arguments
from rulepush.config import load_config

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    p.relative_to(DOCS.parent)
    for p in [*DOCS.parent.glob("*.md"), *DOCS.glob("*.md"), *DOCS.parent.glob("examples/**/*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    path = DOCS.parent / page
    for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), link


def _commands(page: Path) -> list[str]:
    """Every `rulepush ...` line of a shell block, without its comment, pipe and redirection."""
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^ *```sh\b[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"[|;]|&&", line.partition(" #")[0]):
                words = part.split(">")[0].split("<")[0].strip()
                if words.startswith("rulepush "):
                    found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_are_understood(page: Path) -> None:
    for command in _commands(page):
        words = shlex.split(command)[1:]
        if words == ["--version"]:
            continue
        assert parse_arguments(words).func is not None, command


@pytest.mark.parametrize("guide", ["getting-started-nacos", "getting-started-jobs"])
def test_the_two_languages_give_the_same_commands(guide: str) -> None:
    def blocks(name: str) -> list[str]:
        return re.findall(r"^```.*?^```", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    english, chinese = blocks(f"{guide}.md"), blocks(f"{guide}.zh.md")
    assert english == [block.replace("--lang zh", "--lang en") for block in chinese] != []


def test_the_configurations_of_the_page_on_consul_and_docker_load(tmp_path: Path) -> None:
    text = (DOCS / "discovery-consul-docker.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", text, re.MULTILINE | re.DOTALL)
    kinds = []
    for block in blocks:
        (tmp_path / "prometheus.yml").write_text(block)
        loaded = load_config(str(tmp_path / "prometheus.yml"))
        kinds += [sd.kind for config in loaded.scrape_configs for sd in config.sd_configs]
        kinds += [sd.kind for config in loaded.alerting.alertmanagers for sd in config.sd_configs]
    assert kinds == ["consul", "consul", "docker"]
