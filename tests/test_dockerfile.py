"""The Dockerfile, read as a builder reads it: there is no container runtime where the tests run."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rulepush.__main__ import parse_arguments
from rulepush.cli.health import url_of_command_line
from tests.needs import ROOT

# As debian:bookworm-slim has it.
SOURCES = """\
Types: deb
# http://snapshot.debian.org/archive/debian/20260824T000000Z
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# http://snapshot.debian.org/archive/debian-security/20260824T000000Z
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@dataclass
class Stage:
    """`base`: what follows FROM. `steps`: (instruction, its text with joined lines), in their order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.steps if name == instruction]


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """By name; "" is the last one, "ARG" what stands before the first."""
    found = {"ARG": Stage("")}
    current = found["ARG"]
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(base)
        elif line:
            current.steps.append((instruction, rest.strip()))
    return found


def test_the_base_image_is_pinned_by_its_digest_and_can_be_another(stages: dict[str, Stage]) -> None:
    (base,) = stages["ARG"].all("ARG")
    assert re.fullmatch(r"BASE_IMAGE=debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}", base)
    assert {name: stage.base for name, stage in stages.items() if name != "ARG"} == {
        "debian": "${BASE_IMAGE}",
        "build": "debian",
        "": "debian",
    }


def test_packages_are_bounded_and_python_packages_hashed(stages: dict[str, Stage]) -> None:
    runs = [run for stage in stages.values() for run in stage.all("RUN")]
    installs = [re.search(r"apt-get install [^&]+", run) for run in runs]
    packages = {p for found in installs if found for p in found[0].split()[2:] if not p.startswith("--")}
    # Of ca-certificates the newest is wanted: the authorities of today.
    assert {p for p in packages if "=" not in p} == {"ca-certificates"}
    pips = [part for run in runs for part in run.split("&&") if "pip install" in part]
    assert len(pips) == 2
    assert all("--require-hashes" in pip or "--no-deps --no-build-isolation ." in pip for pip in pips)


def test_pip_takes_its_mirror_from_the_arguments(stages: dict[str, Stage]) -> None:
    steps = stages["build"].steps
    arguments = [i for i, (name, text) in enumerate(steps) if name == "ARG" and text.startswith("PIP_INDEX_URL=")]
    pips = [i for i, (_, text) in enumerate(steps) if "pip install" in text]
    assert arguments[:1] < pips[:1]


@pytest.mark.parametrize(
    ("arguments", "uris"),
    [
        ({}, ["http://deb.debian.org/debian", "http://deb.debian.org/debian-security"]),
        (
            {"DEBIAN_MIRROR": "https://mirrors.example.cn/"},
            ["http://mirrors.example.cn/debian", "http://mirrors.example.cn/debian-security"],
        ),
        (
            {"DEBIAN_MIRROR": "mirrors.example.cn/linux", "DEBIAN_SNAPSHOT": ""},
            ["http://mirrors.example.cn/linux/debian", "http://mirrors.example.cn/linux/debian-security"],
        ),
        (
            {"DEBIAN_SNAPSHOT": "20261120T000000Z"},
            [
                "http://snapshot.debian.org/archive/debian/20261120T000000Z",
                "http://snapshot.debian.org/archive/debian-security/20261120T000000Z",
            ],
        ),
    ],
)
def test_the_sources_of_debian_follow_the_arguments(
    stages: dict[str, Stage], tmp_path: Path, arguments: dict[str, str], uris: list[str]
) -> None:
    for directory in ("sources.list.d", "apt.conf.d"):
        (tmp_path / directory).mkdir()
    sources = tmp_path / "sources.list.d" / "debian.sources"
    sources.write_text(SOURCES)
    defaults = dict(argument.split("=", 1) for argument in stages["debian"].all("ARG"))
    (script,) = stages["debian"].all("RUN")
    subprocess.run(["sh", "-c", script.replace("/etc/apt", str(tmp_path))], env=defaults | arguments, check=True)
    assert re.findall(r"^URIs: (.+)$", sources.read_text(), re.MULTILINE) == uris
    assert sources.read_text().count("\n") == SOURCES.count("\n")
    assert (tmp_path / "apt.conf.d" / "snapshot").exists() == bool(arguments.get("DEBIAN_SNAPSHOT"))


def test_the_health_check_asks_where_the_command_of_the_image_listens(stages: dict[str, Stage]) -> None:
    (check,) = stages[""].all("HEALTHCHECK")
    options, _, words = check.partition(" CMD ")
    program, *arguments = json.loads(words)
    args = parse_arguments(arguments)
    assert program == "/opt/rulepush/bin/rulepush"
    timeout = re.search(r"--timeout=(\d+)s", options)
    assert timeout is not None
    assert args.timeout < int(timeout[1])
    (entry,), (command,) = stages[""].all("ENTRYPOINT"), stages[""].all("CMD")
    line = json.loads(entry) + json.loads(command)
    assert url_of_command_line(line) == "http://127.0.0.1:9095"
    assert url_of_command_line([*json.loads(entry), "dingtalk"]) == "http://127.0.0.1:8060"
