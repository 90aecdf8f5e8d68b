"""Where the ready rule packs lie: beside the package in a checkout, under share/ when installed from a wheel."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from rulepush.errors import RulepushError


def pack_directory() -> Path:
    """The directory of nacos.yml, jvm.yml and the others. Raises RulepushError when they were not installed."""
    checkout = Path(__file__).resolve().parent.parent / "rules"
    installed = Path(sysconfig.get_path("data")) / "share" / "rulepush" / "rules"
    for directory in (checkout, installed):
        if (directory / "nacos.yml").is_file():
            return directory
    raise RulepushError(f"the rule packs are neither in {checkout} nor in {installed}: install rulepush again")


def pack(name: str) -> Path:
    """The file of one pack, such as `pack("nacos")`."""
    return pack_directory() / f"{name}.yml"
