"""`rulepush backtest` with samples from a server or a file, and `--write-test`."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path

import httpx
import pytest

from rulepush.__main__ import main
from rulepush.model.timestamps import format_rfc3339
from tests.backtest.loading import Points, prometheus, remote_write, series
from tests.backtest.test_unit_test import HOT, NIGHTS, gauge, group, rules, samples, under_promtool
from tests.http_client.certificates import Authority
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import wait_for


def files(directory: Path, name: str) -> list[str]:
    """A rule file and a dump, and the arguments that name them."""
    text, recorded = NIGHTS[name]
    (directory / "rules.yml").write_text(text)
    (directory / "dump.txt").write_text("\n".join(samples(recorded)) + "\n# EOF\n")
    return ["backtest", "--rules", str(directory / "rules.yml"), "--from-file", str(directory / "dump.txt")]


def test_a_file_is_replayed_and_its_episodes_are_numbered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files(tmp_path, "a gauge"), "--interval", "15s"]) == 0
    out = capsys.readouterr().out
    assert "2 episodes that fired" in out
    assert '1. Hot {room="a", severity="page"}' in out
    assert '2. Hot {room="b", severity="page"}' in out


def test_what_a_file_lacks_stands_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = files(tmp_path, "a gauge")
    dump = tmp_path / "dump.txt"
    dump.write_text(dump.read_text().removesuffix("# EOF\n"))
    assert main([*command, "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [c["text"] for c in report["caveats"]] == [f"{dump} does not end with # EOF: it may be cut off"]


def test_all_that_fired_becomes_a_test_or_the_episode_that_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*files(tmp_path, "a gauge"), "--interval", "15s"]
    written = tmp_path / "tests.yml"
    assert main([*command, "--write-test", str(written)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"wrote {written}: 2 tests with 2 series; `rulepush test rules` passes\n")
    assert under_promtool(written).returncode == 0
    assert main([*command, "--write-test", str(written), "--episode", "2"]) == 0
    assert "1 test with 1 series" in capsys.readouterr().err
    assert under_promtool(written).returncode == 0
    assert 'room="b"' in written.read_text()
    assert main(["test", "rules", str(written)]) == 0


def test_episodes_that_there_are_not_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*files(tmp_path, "pending only"), "--interval", "15s", "--write-test", str(tmp_path / "t.yml")]
    assert main([*command, "--episode", "2"]) == 1
    assert "--episode 2: the report has 1 episode" in capsys.readouterr().err
    assert main(command) == 1
    assert "no alert fired" in capsys.readouterr().err
    assert not (tmp_path / "t.yml").exists()
    assert main([*command, "--episode", "1"]) == 0
    assert under_promtool(tmp_path / "t.yml").returncode == 0


def test_a_sample_of_the_far_future_does_not_make_the_range_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = files(tmp_path, "a gauge")
    dump = tmp_path / "dump.txt"
    dump.write_text(dump.read_text().replace("# EOF\n", "") + "temp 1 9000000000\n# EOF\n")
    assert main([*command, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recorded"]["to"] == "2255-03-14T16:00:00Z"
    assert document["to"] < "2100"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "where the samples come from is said by one of --storage.path"),
        (["--from-url", "http://x", "--from-file", "y"], "is said by one of --storage.path"),
        (["--from-url", "http://127.0.0.1:1"], "--from-url needs --since or --from"),
        (
            ["--from-url", "http://127.0.0.1:1", "--since", "1h"],
            "127.0.0.1:1 cannot be reached: connection refused",
        ),
        (["--from-file", "nothing.txt", "--header", "A: b"], "are for --from-url, which is not given"),
        (["--from-file", "nothing.txt"], "nothing.txt: No such file or directory"),
    ],
)
def test_a_source_that_cannot_be_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    files(tmp_path, "a gauge")
    assert main(["backtest", "--rules", str(tmp_path / "rules.yml"), *more]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("rulepush backtest: ")
    assert len(err.splitlines()) == 1


def test_a_file_without_what_the_rules_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = files(tmp_path, "a gauge")
    (tmp_path / "dump.txt").write_text("other 1 1700000000\n# EOF\n")
    assert main(command) == 1
    assert "dump.txt has no sample of what the rules read: temp\n" in capsys.readouterr().err


def test_the_client_settings_and_headers_of_the_command_line_are_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files(tmp_path, "a gauge")
    settings = tmp_path / "client.yml"
    settings.write_text("authorization: {credentials: s3cret}\nhttp_headers: {X-Own: {values: [mine]}}\n")
    seen: list[tuple[str | None, str | None, str | None]] = []

    def reply(request: HttpRequest) -> HttpReply:
        names = ("Authorization", "X-Own", "X-Scope-OrgID")
        seen.append((request.headers[names[0]], request.headers[names[1]], request.headers[names[2]]))
        return HttpReply(b"nobody s3cret", 401)

    server = LoopbackServer(reply)
    command = ["backtest", "--rules", str(tmp_path / "rules.yml"), "--from-url", f"http://{server.address}"]
    more = ["--since", "1h", "--http.config.file", str(settings), "--header", "X-Scope-OrgID: t1"]
    assert main([*command, *more]) == 1
    server.close()
    assert seen == [("Bearer s3cret", "mine", "t1")]
    err = capsys.readouterr().err
    assert "answered 401 Unauthorized: it wants credentials" in err
    assert "s3cret" not in err


def test_a_wrong_settings_file_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path, "a gauge")
    settings = tmp_path / "client.yml"
    settings.write_text("follow_redirects: true\nbasic_aut: {username: x}\n")
    command = ["backtest", "--rules", str(tmp_path / "rules.yml"), "--from-url", "http://127.0.0.1:1", "--since", "1h"]
    assert main([*command, "--http.config.file", str(settings)]) == 1
    assert f"{settings}:2: " in capsys.readouterr().err


@pytest.mark.e2e
def test_a_real_prometheus_is_replayed_and_a_test_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = int(time.time()) * 1000 - 3_600_000
    hot = gauge(60, 100)
    points: Points = {series('temp{room="a"}'): [(begin + i * 15_000, hot(i) or 0.0) for i in range(230)]}
    (tmp_path / "rules.yml").write_text(
        rules(group(HOT.replace("it is {{ $value }}", "at {{ $externalLabels.site }}")))
    )
    written = tmp_path / "t.yml"
    with prometheus(tmp_path, "global: {external_labels: {site: hz1}}\n") as url:
        remote_write(url, points)
        command = ["backtest", "--rules", str(tmp_path / "rules.yml"), "--from-url", url, "--interval", "15s"]
        more = ["--from", format_rfc3339(begin), "--format", "json", "--write-test", str(written)]
        assert main([*command, *more]) == 0
    report = json.loads(capsys.readouterr().out)
    (episode,) = report["episodes"]
    assert episode["labels"] == {"alertname": "Hot", "room": "a", "severity": "page"}
    assert episode["peak"] == "96"
    assert episode["annotations"] == {"v": "at hz1"}
    assert under_promtool(written).returncode == 0


@pytest.mark.e2e
def test_a_prometheus_behind_tls_is_read_with_its_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = Authority()
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem")
    ca_file = str(authority.write(tmp_path / "ca.pem"))
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    (tmp_path / "rules.yml").write_text(rules(group(HOT)))
    with prometheus(tmp_path, "global: {}\n", f"--web.config.file={tmp_path / 'web.yml'}", ready="") as plain:
        url = plain.replace("http:", "https:")
        trusting = ssl.create_default_context(cafile=ca_file)
        wait_for("Prometheus", lambda: httpx.get(f"{url}/-/ready", verify=trusting, trust_env=False).is_success)
        command = ["backtest", "--rules", str(tmp_path / "rules.yml"), "--from-url", url, "--since", "1h"]
        assert main(command) == 1
        assert f"{url} cannot be reached: tls: failed to verify certificate" in capsys.readouterr().err
        assert main([*command, "--ca-file", ca_file]) == 1
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith(f"rulepush backtest: {url} has no sample since ")  # it was read: it is new and empty
