"""What a user installs: the wheel, built here, has the rule packs and the version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import rulepush
from tests.needs import ROOT

ASK = "from rulepush.packs import pack; import rulepush; print(rulepush.__file__); print(pack('nacos'))"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as pip would. Built from a copy, for a build leaves files beside the sources."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("rulepush", "rules"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def test_the_wheel_has_every_pack_and_finds_them(site: Path) -> None:
    packed = {p.name: p.read_bytes() for p in (site / "rulepush" / "rule_packs").iterdir()}
    assert packed == {p.name: p.read_bytes() for p in (ROOT / "rules").iterdir()}
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=site, env=environment, capture_output=True, check=True)
    where, pack = done.stdout.decode().split()
    assert Path(where) == site / "rulepush" / "__init__.py"
    assert Path(pack) == site / "rulepush" / "rule_packs" / "nacos.yml"


def test_the_wheel_has_all_files_of_the_pages(site: Path) -> None:
    def files(root: Path) -> set[str]:
        inside = root / "rulepush" / "site"
        return {str(p.relative_to(inside)) for p in inside.rglob("*") if p.is_file() and p.suffix != ".pyc"}

    assert files(site) == files(ROOT)
    assert {"templates/base.html", "static/style.css", "static/site.js", "locale/zh/frame.po"} <= files(site)


def test_a_checkout_has_the_packs_in_the_same_place() -> None:
    assert (ROOT / "rulepush" / "rule_packs").resolve() == ROOT / "rules"


def test_the_wheel_has_the_version_of_the_package(site: Path) -> None:
    (metadata,) = site.glob("rulepush-*.dist-info/METADATA")
    assert f"\nVersion: {rulepush.__version__}\n" in metadata.read_text()


def test_the_lock_has_every_requirement_in_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run = project["project"]["dependencies"]
    build = project["dependency-groups"]["build"]
    assert build == project["build-system"]["requires"]
    wanted = {
        "run": run,
        "dev": run + project["project"]["optional-dependencies"]["dev"],
        "build": build,
        "mutate": run + project["dependency-groups"]["mutate"],
    }
    missing = {f"requirements/{name}.txt: {text}" for name, texts in wanted.items() for text in texts}
    for name, texts in wanted.items():
        pins = locked(name)
        missing -= {f"requirements/{name}.txt: {t}" for t in texts if in_range(Requirement(t), pins)}
    assert not missing, "run make lock"


def locked(name: str) -> dict[str, list[str]]:
    """The versions of a lock file by name; a name has several where the Python versions need different ones."""
    pins: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        package, equals, rest = line.partition("==")
        if equals and not package.startswith((" ", "#")):
            pins.setdefault(package, []).append(rest.split()[0])
    return pins


def in_range(wanted: Requirement, pins: dict[str, list[str]]) -> bool:
    versions = pins.get(wanted.name.lower(), [])
    return bool(versions) and all(wanted.specifier.contains(version) for version in versions)
