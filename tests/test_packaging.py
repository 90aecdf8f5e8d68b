"""What a user installs: the wheel, built here, has the rule packs and the version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


def test_a_checkout_has_the_packs_in_the_same_place() -> None:
    assert (ROOT / "rulepush" / "rule_packs").resolve() == ROOT / "rules"


def test_the_wheel_has_the_version_of_the_package(site: Path) -> None:
    (metadata,) = site.glob("rulepush-*.dist-info/METADATA")
    assert f"\nVersion: {rulepush.__version__}\n" in metadata.read_text()
