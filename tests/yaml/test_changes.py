"""`--config.auto-reload-interval`: what counts as a change of the files, and when it is taken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rulepush.yaml.changes import SETTLE_SECONDS, ConfigFiles, ConfigWatch
from tests.fakes import FakeClock

CONFIG = "rule_files: ['rules/*.yml', more.yml]\nscrape_config_files:\n- jobs/*.yml\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.fixture
def files(tmp_path: Path) -> ConfigFiles:
    write(tmp_path / "prometheus.yml", CONFIG)
    write(tmp_path / "rules" / "a.yml", "groups: []")
    return ConfigFiles(str(tmp_path / "prometheus.yml"), ("rule_files", "scrape_config_files"))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: write(d / "prometheus.yml", CONFIG + "# more\n"),
        lambda d: write(d / "rules" / "a.yml", "groups: [{name: g}]"),
        lambda d: write(d / "rules" / "b.yml", "groups: []"),
        lambda d: write(d / "more.yml", "groups: []"),
        lambda d: write(d / "jobs" / "a.yml", "scrape_configs: []"),
        lambda d: (d / "rules" / "a.yml").unlink(),
        lambda d: (d / "rules" / "a.yml").rename(d / "rules" / "b.yml"),
        lambda d: (d / "prometheus.yml").unlink(),
    ],
    ids=["config", "rules", "new rules", "missing rules", "jobs", "rules removed", "renamed", "config removed"],
)
def test_a_change_of_any_file_counts_once(tmp_path: Path, files: ConfigFiles, change: Callable[[Path], None]) -> None:
    assert not files.changed()
    change(tmp_path)
    assert files.changed()
    files.take()
    assert not files.changed()


def test_what_is_written_again_with_the_same_content_is_no_change(tmp_path: Path, files: ConfigFiles) -> None:
    os.utime(tmp_path / "rules" / "a.yml", (1, 1))
    write(tmp_path / "new", CONFIG)
    os.replace(tmp_path / "new", tmp_path / "prometheus.yml")
    write(tmp_path / "rules.txt", "none of the files")
    assert not files.changed()


def test_a_config_map_is_swapped_by_a_link(tmp_path: Path) -> None:
    """As kubelet's AtomicWriter does: the files are links into `..data`, which is a link to a directory."""
    for version in ("..1", "..2"):
        write(tmp_path / version / "prometheus.yml", f"rule_files: [rules.yml] # {version}")
        write(tmp_path / version / "rules.yml", "groups: []")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("prometheus.yml", "rules.yml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    files = ConfigFiles(str(tmp_path / "prometheus.yml"), ("rule_files",))
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    assert files.changed()


def test_a_bad_file_keeps_what_it_named_before(tmp_path: Path, files: ConfigFiles) -> None:
    write(tmp_path / "prometheus.yml", "rule_files: [")
    files.take()
    write(tmp_path / "rules" / "a.yml", "groups: [{name: g}]")
    assert files.changed()


@pytest.mark.parametrize(
    "text",
    ["? [a, b]\n: c\n", "? {a: b}\n: c\n", 'rule_files: ["a\\0/*.yml"]\n', 'rule_files: "a\\0/*.yml"\n'],
    ids=["a list as a key", "a mapping as a key", "a null byte", "a null byte in a text"],
)
def test_a_file_that_no_configuration_can_be_read_from_does_not_end_the_watch(
    tmp_path: Path, files: ConfigFiles, text: str
) -> None:
    """A reload takes the files before it reads them, and only an error of the configuration is expected of it."""
    write(tmp_path / "prometheus.yml", text)
    files.take()
    assert not files.changed()
    write(tmp_path / "prometheus.yml", CONFIG)
    assert files.changed()


def test_files_are_read_only_when_they_may_have_changed(
    tmp_path: Path, files: ConfigFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def refuse(path: str, mode: str) -> None:
        opened.append(path)
        raise OSError(5, "no reading here")

    monkeypatch.setattr("builtins.open", refuse)
    assert not files.changed()
    assert opened == []
    os.utime(tmp_path / "prometheus.yml", (1, 1))
    assert files.changed()
    assert opened


class Reloads:
    """Counts reloads, and does as a reload does."""

    def __init__(self, files: ConfigFiles):
        self.at: list[float] = []
        self.files = files
        self.clock = FakeClock()

    async def __call__(self) -> None:
        self.files.take()
        self.at.append(self.clock.monotonic())


def test_a_change_is_taken_once_when_the_files_stand_still(tmp_path: Path, files: ConfigFiles) -> None:
    async def go() -> list[float]:
        reloads = Reloads(files)
        clock = reloads.clock
        task = asyncio.create_task(ConfigWatch(files, clock, 30_000, reloads).run())
        await clock.advance(29)
        write(tmp_path / "rules" / "a.yml", "groups:")  # someone uploads, slowly
        await clock.advance(2)
        write(tmp_path / "rules" / "a.yml", "groups:\n- name: g")
        await clock.advance(1.5)
        write(tmp_path / "rules" / "a.yml", "groups:\n- name: g\n  rules: []")
        await clock.advance(1)
        assert reloads.at == []
        await clock.advance(5 * 30)
        task.cancel()
        return reloads.at

    assert asyncio.run(go()) == [30 + 3 * SETTLE_SECONDS]


def test_a_change_that_is_taken_back_is_none(tmp_path: Path, files: ConfigFiles) -> None:
    async def go() -> list[float]:
        reloads = Reloads(files)
        clock = reloads.clock
        task = asyncio.create_task(ConfigWatch(files, clock, 1000, reloads).run())
        write(tmp_path / "prometheus.yml", "")
        await clock.advance(1.5)
        write(tmp_path / "prometheus.yml", CONFIG)
        await clock.advance(30)
        assert reloads.at == []
        write(tmp_path / "prometheus.yml", "")
        await clock.advance(30)
        task.cancel()
        return reloads.at

    assert len(asyncio.run(go())) == 1


def test_the_rule_files_of_datasources_are_watched_too(tmp_path: Path) -> None:
    config = "rule_files: [a.yml]\ndatasources:\n- {name: c, url: 'http://x', rule_files: ['fleet/*.yml']}\n- broken\n"
    write(tmp_path / "prometheus.yml", config)
    files = ConfigFiles(str(tmp_path / "prometheus.yml"), ("rule_files",), ("datasources",))
    assert not files.changed()
    write(tmp_path / "fleet" / "new.yml", "groups: []")
    assert files.changed()
