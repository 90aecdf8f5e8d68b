"""When the links in alerts most likely lead nowhere, a warning at the start says what to set."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from rulepush.__main__ import parse_arguments
from rulepush.cli.run import _options
from rulepush.config.load import load_config
from rulepush.config.sections import AlertmanagerConfig
from rulepush.service.app import App
from rulepush.service.link_warning import in_container, link_warning

HERE = "static_configs: [{targets: ['127.0.0.1:9093', 'localhost:9093', '[::1]:9093']}]"
THERE = "static_configs: [{targets: ['127.0.0.1:9093', 'alertmanager:9093']}]"
FOUND = "dns_sd_configs: [{names: [alertmanager], type: A, port: 9093}]"


def alertmanagers(directory: Path, *sections: str) -> tuple[AlertmanagerConfig, ...]:
    file = directory / "prometheus.yml"
    file.write_text("alerting:\n  alertmanagers:\n" + "".join(f"  - {{{section}}}\n" for section in sections))
    return load_config(str(file)).alerting.alertmanagers


@pytest.mark.parametrize("sections", [(THERE,), (FOUND,), (HERE, THERE)])
@pytest.mark.parametrize(
    ("listens_on", "is_container", "why"),
    [
        ("127.0.0.1:9095", False, "on this machine at most: --web.listen-address is 127.0.0.1:9095. "),
        ("[::1]:9095", False, "on this machine at most: --web.listen-address is [::1]:9095. "),
        ("0.0.0.0:9095", True, "the name of this container, "),
        (":9095", True, "the name of this container, "),
    ],
)
def test_links_that_only_this_machine_can_open_are_warned_of(
    tmp_path: Path, sections: tuple[str, ...], listens_on: str, is_container: bool, why: str
) -> None:
    text = link_warning("http://4f2a:9095", listens_on, is_container, alertmanagers(tmp_path, *sections))
    assert text.startswith("--web.external-url is not set: links in alerts lead to http://4f2a:9095, ")
    assert why in text
    assert "--web.external-url=http://ADDRESS:9095" in text


@pytest.mark.parametrize(
    ("section", "listens_on", "is_container"),
    [(HERE, "127.0.0.1:9095", True), (THERE, "0.0.0.0:9095", False), (THERE, ":9095", False)],
)
def test_a_guess_that_may_do_is_not_warned_of(
    tmp_path: Path, section: str, listens_on: str, is_container: bool
) -> None:
    assert link_warning("http://host:9095", listens_on, is_container, alertmanagers(tmp_path, section)) == ""


def test_a_container_is_known_by_what_its_runtime_leaves(tmp_path: Path) -> None:
    assert not in_container({}, tmp_path)
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    (tmp_path / "proc" / "1").mkdir(parents=True)
    cgroup = tmp_path / "proc" / "1" / "cgroup"
    cgroup.write_text("0::/init.scope\n")
    assert not in_container({}, tmp_path)
    cgroup.write_text("12:cpu:/kubepods/burstable/pod1/abc\n")
    assert in_container({}, tmp_path)
    cgroup.unlink()
    (tmp_path / ".dockerenv").touch()
    assert in_container({}, tmp_path)


@pytest.mark.parametrize(("words", "count"), [((), 1), (("--web.external-url=http://10.0.0.1:9095",), 0)])
def test_it_is_logged_once_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], count: int
) -> None:
    alertmanagers(tmp_path, THERE)
    line = ["run", f"--config.file={tmp_path / 'prometheus.yml'}", "--web.listen-address=127.0.0.1:0", *words]

    async def start_and_stop() -> None:
        app = App(_options(parse_arguments(line)))
        app.stop()
        await app.run()

    asyncio.run(start_and_stop())
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len([w for w in warnings if "--web.external-url is not set" in w]) == count
