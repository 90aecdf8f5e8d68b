"""The ready rule packs: rules/ at the top of a checkout, which is rulepush/rule_packs in the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from rulepush.errors import RulepushError


def pack_directory() -> Path:
    """The directory of nacos.yml, jvm.yml and the others. Raises RulepushError when they were not installed."""
    # A file of the configuration can name a pack by its path, so the packs must lie in the file system.
    directory = Path(str(resources.files("rulepush") / "rule_packs"))
    if not (directory / "nacos.yml").is_file():
        raise RulepushError(
            f"the rule packs are not in {directory}: install rulepush again (a checkout links rules/ there)"
        )
    return directory


def pack(name: str) -> Path:
    """The file of one pack, such as `pack("nacos")`."""
    return pack_directory() / f"{name}.yml"
