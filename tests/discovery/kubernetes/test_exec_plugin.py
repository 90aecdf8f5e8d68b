"""`exec` plugins of a kubeconfig: real programs, small ones of the shell.

What they get and print is as client-go has it (plugin/pkg/client/auth/exec/exec.go and its exec_test.go,
pkg/apis/clientauthentication/v1/types.go).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.discovery.kubernetes.exec_plugin import ExecPlugin, PluginCredentials, read_credential, run_plugin
from rulepush.discovery.kubernetes.kubeconfig import read_kubeconfig
from rulepush.errors import DiscoveryError
from tests.discovery.kubernetes.following import following, until
from tests.fakes import FakeClock
from tests.http_client.certificates import Authority
from tests.kubernetes_objects import pod
from tests.kubernetes_server import KubernetesServer

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def credential(version: str = V1, **status: Any) -> str:
    return json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})


def plugin(command: str, **more: Any) -> ExecPlugin:
    return ExecPlugin("/k: user u", command, more.pop("api_version", V1), **more)


def failure(tried: ExecPlugin, seconds: float = 30.0) -> str:
    with pytest.raises(DiscoveryError) as raised:
        asyncio.run(run_plugin(tried, lambda _: asyncio.timeout(seconds)))
    return str(raised.value)


def kubeconfig(directory: Path, exec_: dict[str, Any], cluster: dict[str, Any] | None = None, **user: Any) -> str:
    whole = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://k8s:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"exec": exec_, **user}}],
    }
    (directory / "config").write_text(yaml.safe_dump(whole))
    return str(directory / "config")


# What the plugin is given.


def test_a_plugin_gets_its_arguments_its_environment_and_nothing_to_read(tmp_path: Path) -> None:
    command = script(tmp_path / "p", 'echo "$1/$2/$REGION/$HOME/$KUBERNETES_EXEC_INFO/$(cat)" >&2; exit 3')
    given = {
        "apiVersion": V1,
        "interactiveMode": "IfAvailable",
        "command": command,
        "args": ["get-token", "--cluster-name"],
        "env": [{"name": "REGION", "value": "eu"}],
    }
    read = read_kubeconfig(kubeconfig(tmp_path, given)).plugin
    assert read is not None
    info = f'{{"kind":"ExecCredential","apiVersion":"{V1}","spec":{{"interactive":false}}}}'
    said = f"get-token/--cluster-name/eu/{os.environ['HOME']}/{info}/"
    where = f"{tmp_path}/config: user u: exec plugin {command}"
    assert failure(read) == f"{where}: failed with exit code 3; it says: {said}"


def test_a_plugin_is_told_of_its_cluster_where_it_wants_to_know(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    given = {"apiVersion": V1BETA1, "command": "p", "provideClusterInfo": True}
    extensions = [
        {"name": "other", "extension": 1},
        {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}},
    ]
    cluster = {
        "certificate-authority": "ca.crt",
        "tls-server-name": "k",
        "proxy-url": "http://proxy:1",
        "extensions": extensions,
    }
    read = read_kubeconfig(kubeconfig(tmp_path, given, cluster)).plugin
    assert read is not None
    assert json.loads(read.info) == {
        "kind": "ExecCredential",
        "apiVersion": V1BETA1,
        "spec": {
            "cluster": {
                "server": "https://k8s:6443",
                "tls-server-name": "k",
                "certificate-authority-data": "UEVN",
                "proxy-url": "http://proxy:1",
                "config": {"audience": "a"},
            },
            "interactive": False,
        },
    }
    bare = read_kubeconfig(kubeconfig(tmp_path, given)).plugin
    assert bare is not None
    assert json.loads(bare.info)["spec"]["cluster"] == {"server": "https://k8s:6443", "config": None}


def test_a_command_with_a_slash_is_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    def command(text: str) -> str:
        read = read_kubeconfig(kubeconfig(tmp_path, {"apiVersion": V1BETA1, "command": text})).plugin
        assert read is not None
        return read.command

    assert command("./bin/p") == f"{tmp_path}/./bin/p"
    assert command("/usr/bin/p") == "/usr/bin/p"
    assert command("aws") == "aws"


def test_other_credentials_win_over_a_plugin(tmp_path: Path) -> None:
    given = {"apiVersion": V1BETA1, "command": "p"}
    assert read_kubeconfig(kubeconfig(tmp_path, given)).plugin is not None
    pair = {"client-certificate": "c", "client-key": "k"}
    others: list[dict[str, Any]] = [{"token": "t"}, {"username": "j"}, pair, {"tokenFile": "f"}]
    for user in others:
        assert read_kubeconfig(kubeconfig(tmp_path, given, **user)).plugin is None


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({"command": ""}, "user u: exec: command must be specified"),
    "alpha": (
        {"apiVersion": "client.authentication.k8s.io/v1alpha1"},
        rf'invalid apiVersion "client.authentication.k8s.io/v1alpha1", expected {V1} or {V1BETA1}: update p',
    ),
    "always": (
        {"interactiveMode": "Always"},
        "interactiveMode is Always, and no standard input is available: p",
    ),
    "no mode": ({"interactiveMode": ""}, "interactiveMode must be specified"),
    "a mode": ({"interactiveMode": "never"}, 'interactiveMode must be specified .* it is "never"'),
    "env": ({"env": [{"value": "x"}]}, "env variable name must be specified"),
    "env list": ({"env": {"a": "b"}}, "env must be a list"),
    "args": ({"args": ["-n", 5]}, "args must be a list of texts"),
    "ca": ({"provideClusterInfo": True}, "cluster c: unable to read certificate-authority .*/none: No such file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_with_exec_is_named(tmp_path: Path, name: str) -> None:
    given, text = FAULTS[name]
    whole = {"apiVersion": V1, "command": "p", "interactiveMode": "Never", **given}
    with pytest.raises(DiscoveryError, match=text) as raised:
        read_kubeconfig(kubeconfig(tmp_path, whole, {"certificate-authority": "none"}))
    assert str(raised.value).startswith(str(tmp_path / "config"))


# What it answers.


def test_a_missing_plugin_is_named_with_its_hint(tmp_path: Path) -> None:
    hint = "\x1b[1mInstall gke-gcloud-auth-plugin\x1b[0m\nfor use with kubectl by following https://x"
    text = failure(plugin("no-such-plugin", install_hint=hint))
    assert text == (
        "/k: user u: exec plugin no-such-plugin: executable not found; install it where rulepush runs: Install "
        "gke-gcloud-auth-plugin for use with kubectl by following https://x"
    )
    (tmp_path / "p").write_text("not executable")
    assert "executable not found" in failure(plugin(str(tmp_path / "p")))
    (tmp_path / "q").write_text("#!/no/such/interpreter\n")
    (tmp_path / "q").chmod(0o755)
    assert failure(plugin(str(tmp_path / "q"))).endswith("cannot be run: No such file or directory")


def test_a_plugin_that_fails_is_quoted(tmp_path: Path) -> None:
    command = script(tmp_path / "p", "echo secret; echo 'Unable to locate credentials.' >&2; exit 253")
    text = failure(plugin(command))
    assert text.endswith(": failed with exit code 253; it says: Unable to locate credentials.")
    assert "secret" not in text
    command = script(tmp_path / "p", "head -c 100000 /dev/zero | tr '\\0' x >&2; echo ' the end' >&2; exit 1")
    text = failure(plugin(command))
    assert text.endswith("xxx the end")
    assert len(text) < 500
    text = failure(plugin(script(tmp_path / "p", "kill -9 $$")))
    assert text.endswith("was ended by SIGKILL; it says nothing on stderr")


def test_a_plugin_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    body = f"echo 'open https://login/ in a browser' >&2; sleep 600 & echo $! >{tmp_path}/child; wait"
    began = time.monotonic()
    text = failure(plugin(script(tmp_path / "p", body)), 1.0)
    assert text.endswith("printed no credentials within 60s; it says: open https://login/ in a browser")
    assert time.monotonic() - began < 20
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_plugin_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    tried = plugin(
        script(tmp_path / "p", f"setsid sleep 30 >/dev/null & echo $! >{tmp_path}/child; cat {tmp_path}/printed")
    )
    (tmp_path / "printed").write_text(credential(token="t"))
    began = time.monotonic()
    assert asyncio.run(run_plugin(tried)).token.reveal() == "t"
    text = failure(plugin(script(tmp_path / "q", f"setsid sleep 30 & echo $! >{tmp_path}/other; exit 3")), 2.0)
    assert "printed no credentials within 60s" in text  # it may still print
    assert time.monotonic() - began < 20
    for name in ("child", "other"):
        os.kill(int((tmp_path / name).read_text()), signal.SIGKILL)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_plugin_that_never_ends_to_print_is_ended(tmp_path: Path) -> None:
    assert failure(plugin(script(tmp_path / "p", "exec cat /dev/zero"))).endswith("printed more than 1 MiB")


RUBBISH: dict[str, tuple[str, str]] = {
    "nothing": ("\n", "printed nothing; an ExecCredential in JSON is expected"),
    "a page": ("<html>secret</html>", "printed no JSON; an ExecCredential is expected"),
    "deep": ("[" * 100_000, "printed no JSON; an ExecCredential is expected"),
    "a list": ('["secret"]', "printed JSON that is no ExecCredential"),
    "kind": ('{"token": "secret"}', "printed JSON that is no ExecCredential"),
    "version": (
        credential(V1BETA1, token="secret"),
        f"is configured to use API version {V1}, plugin returned version {V1BETA1}: set apiVersion of exec to that, or "
        "update the plugin",
    ),
    "no status": (f'{{"kind": "ExecCredential", "apiVersion": "{V1}"}}', "didn't return a status field"),
    "empty": (credential(), "didn't return a token or cert/key pair"),
    "cert": (credential(clientCertificateData="secret"), "returned only certificate or key, not both"),
    "no PEM": (
        credential(clientCertificateData="secret", clientKeyData="secret"),
        "returned a client certificate and key that do not fit, or are no PEM",
    ),
    "a number": (credential(token=5), "returned a token that is no text"),
    "a time": (
        credential(token="secret", expirationTimestamp="soon"),
        "returned an expirationTimestamp that is no time of RFC 3339",
    ),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_what_is_no_credential_is_refused_and_not_shown(name: str) -> None:
    printed, text = RUBBISH[name]
    with pytest.raises(DiscoveryError) as raised:
        read_credential(plugin("p"), printed.encode())
    assert str(raised.value) == f"/k: user u: exec plugin p: {text}"


def test_a_credential_is_read() -> None:
    found = read_credential(plugin("p"), credential(token="t", expirationTimestamp="2026-11-30T00:00:00Z").encode())
    assert found.token.reveal() == "t"
    assert found.expires_at == datetime(2026, 11, 30, tzinfo=UTC).timestamp() * 1000
    assert read_credential(plugin("p"), credential(token="t").encode()).expires_at is None
    assert "'t'" not in repr(found)


# How long it is used.


class Counting:
    """A plugin whose token is the number of its run; it reads `rest` of its status from a file."""

    def __init__(self, directory: Path):
        self._runs, self._rest = directory / "runs", directory / "rest"
        self._rest.write_text("")
        body = f"echo x >>{self._runs}; n=$(wc -l <{self._runs}); . {self._rest}; sleep 0.05\n"
        body += f"""printf '{{"kind":"ExecCredential","apiVersion":"{V1}","status":{{"token":"%s"%s}}}}' $n "$REST" """
        self.command = script(directory / "counting", body)

    @property
    def runs(self) -> int:
        return len(self._runs.read_text().splitlines()) if self._runs.exists() else 0

    def expire_at(self, text: str) -> None:
        self._rest.write_text(f"""REST=',"expirationTimestamp":"{text}"'""")

    def fail(self) -> None:
        self._rest.write_text("exit 1")


def test_credentials_are_kept_until_they_expire_or_are_refused(tmp_path: Path) -> None:
    counting, clock = Counting(tmp_path), FakeClock()
    counting.expire_at(datetime.fromtimestamp(clock.now() / 1000 + 60, UTC).isoformat().replace("+00:00", "Z"))

    async def test() -> None:
        known = PluginCredentials(plugin(counting.command), clock)

        async def token() -> str:
            return (await known.get()).token.reveal()

        assert await asyncio.gather(*(token() for _ in range(5))) == ["1"] * 5
        await clock.advance(60)
        assert await token() == "1"
        refused = await known.get()
        await clock.advance(1)
        assert await token() == "2"
        known.refused(refused)  # the first one: another is known by now
        counting.expire_at("2999-01-01T00:00:00Z")
        assert await token() == "3"  # the second run's time was over when it came
        assert await token() == "3"
        known.refused(await known.get())
        assert await token() == "4"

    asyncio.run(test())
    assert counting.runs == 4


def test_a_failure_is_that_of_all_who_waited_for_it(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    counting.fail()

    async def test() -> None:
        known = PluginCredentials(plugin(counting.command), FakeClock())
        failed = await asyncio.gather(*(known.get() for _ in range(5)), return_exceptions=True)
        assert {type(e) for e in failed} == {DiscoveryError}
        assert counting.runs == 1
        counting.expire_at("2999-01-01T00:00:00Z")
        assert (await known.get()).token

    asyncio.run(test())
    assert counting.runs == 2


def test_a_plugin_is_run_once_for_all_watches_and_again_when_it_is_refused(tmp_path: Path) -> None:
    counting = Counting(tmp_path)
    given = {"apiVersion": V1, "command": counting.command, "interactiveMode": "Never"}
    with KubernetesServer(pod("a")) as api:
        api.tokens = {"1": "rp"}
        path = kubeconfig(tmp_path, given, {"server": api.url})

        async def test() -> None:
            async with following(
                f"role: endpoints, kubeconfig_file: '{path}', attach_metadata: {{node: true}}"
            ) as seen:
                await until("the watches", lambda: api.watches == 4)
                assert counting.runs == 1
                api.tokens = {"2": "rp"}
                api.cut_streams()
                await until("another token", lambda: counting.runs == 2, seen.clock)
                await until("the watches with it", lambda: api.watches == 4 and not seen.error(), seen.clock)
                assert counting.runs == 2
                counting.fail()
                api.tokens = {"3": "rp"}
                api.cut_streams()
                text = f"{path}: user u: exec plugin {counting.command}: failed with exit code 1"
                await until("the failure", lambda: text in seen.error(), seen.clock)

        asyncio.run(test())


def test_a_plugin_may_give_a_certificate(tmp_path: Path) -> None:
    authority, users = Authority(), Authority("users")
    authority.issue(tmp_path / "s.pem", tmp_path / "s.key")
    users.issue(tmp_path / "u.pem", tmp_path / "u.key", "rp")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "s.pem", tmp_path / "s.key")
    context.load_verify_locations(cadata=users.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = (tmp_path / "u.pem").read_text(), (tmp_path / "u.key").read_text()
    pair = {"clientCertificateData": cert, "clientKeyData": key}
    (tmp_path / "printed").write_text(credential(**pair))
    given = {"apiVersion": V1, "command": "cat", "args": [f"{tmp_path}/printed"], "interactiveMode": "Never"}
    authority.write(tmp_path / "ca.crt")
    with KubernetesServer(pod("a"), tls=context) as api:
        path = kubeconfig(tmp_path, given, {"server": api.url, "certificate-authority": "ca.crt"})

        async def test() -> None:
            async with following(f"role: pod, kubeconfig_file: '{path}'") as seen:
                await until("the list", lambda: seen.names() == ["pod/default/a"])

        asyncio.run(test())
