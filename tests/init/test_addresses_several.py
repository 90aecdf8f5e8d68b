"""Several servers in one option, the ways to write Alertmanager's address, and the address for phones."""

from __future__ import annotations

import pytest

from rulepush.init.addresses import Address, AddressError, alertmanager_address, nacos_address, split_addresses
from rulepush.init.external import external_url, machine_address
from rulepush.init.nacos import NacosTargets, ProbedServer, nacos_jobs, nacos_packs, nacos_targets
from rulepush.init.probe import ProbeResult
from rulepush.nacos.diagnose import TargetProblem
from rulepush.relay.settings import Language

DEAD = TargetProblem("connection refused")
M1, M2, M3 = "10.0.0.1:8848", "10.0.0.2:8848", "10.0.0.3:8848"
MEMBERS = (M1, M2, M3)


@pytest.mark.parametrize(
    "given",
    [
        [f"{M1},{M2},{M3}"],
        [f"{M1}, {M2} ,{M3},"],
        [f"{M1},", f"{M2},", M3],
        [M1, M2, M3, M1],
        [f"{M1};{M2}\n{M3}"],
    ],
)
def test_the_habit_of_server_addr(given: list[str]) -> None:
    assert split_addresses(given) == MEMBERS


@pytest.mark.parametrize(
    "end", ["", "/", "/api/v2/alerts", "/api/v1/alerts", "/api/v1", "/api/v2/", "/#/alerts", "/api/v2/status"]
)
def test_an_alertmanager_with_what_people_copy_behind_it(end: str) -> None:
    assert alertmanager_address(f"http://am:9093{end}").base == "http://am:9093"
    assert alertmanager_address(f"http://am:9093/x{end}").base == "http://am:9093/x"


def test_the_address_of_the_console_is_that_of_the_server() -> None:
    for page in ("/nacos/", "/nacos/#/login", "/nacos/index.html", "/nacos/index.html#/configurationManagement"):
        assert nacos_address(f"http://n:8848{page}").base == "http://n:8848/nacos"


@pytest.mark.parametrize("url", ["http://u:hidden@n:x", "ftp://u:hidden@n", "u:hidden@n:99999"])
def test_a_password_is_not_repeated(url: str) -> None:
    for parse in (nacos_address, alertmanager_address, external_url):
        with pytest.raises(AddressError) as raised:
            parse(url)
        assert "hidden" not in str(raised.value)


def _server(
    host: str, members: tuple[str, ...] = (), same_as: tuple[str, ...] = (), path: str = "/nacos"
) -> ProbedServer:
    result = ProbeResult(None if members else DEAD, members or (host,))
    return ProbedServer(Address("http", host, path), result, frozenset(same_as))


def test_members_take_the_place_of_a_single_address() -> None:
    (found,) = nacos_targets([_server("lb:8848", MEMBERS)])
    assert found == NacosTargets(Address("http", "", "/nacos"), MEMBERS)


def test_a_dead_server_of_three_stays_a_target() -> None:
    (found,) = nacos_targets([_server(M1, MEMBERS), _server(M2, MEMBERS), _server(M3)])
    assert found == NacosTargets(Address("http", "", "/nacos"), MEMBERS)


def test_servers_that_nobody_named_are_added() -> None:
    (found,) = nacos_targets([_server(M1, MEMBERS), _server(M2, MEMBERS)])
    assert (found.targets, found.added, found.strangers) == (MEMBERS, (M3,), ())


def test_a_name_and_the_address_that_it_stands_for_are_one_server() -> None:
    (found,) = nacos_targets([_server("n1:8848", MEMBERS, (M1,)), _server("n2:8848", MEMBERS, (M2, "[fd00::2]:8848"))])
    assert (found.targets, found.added, found.strangers) == (("n1:8848", "n2:8848", M3), (M3,), ())


def test_a_server_that_the_cluster_does_not_name_is_said_and_kept() -> None:
    (found,) = nacos_targets([_server(M1, (M1, M2)), _server("10.9.9.9:8848")])
    assert (found.targets, found.added, found.strangers) == ((M1, "10.9.9.9:8848", M2), (M2,), ("10.9.9.9:8848",))


def test_behind_other_addresses_no_server_is_scraped_twice() -> None:
    (found,) = nacos_targets([_server("10.9.9.1:8848", MEMBERS), _server("10.9.9.2:8848", MEMBERS)])
    assert found.targets == found.strangers == ("10.9.9.1:8848", "10.9.9.2:8848")


def test_another_context_is_another_job_whose_name_the_rules_know() -> None:
    found = nacos_targets([_server(M1), _server(M2, path="/registry"), _server(M3)])
    jobs = nacos_jobs(found, Language.ZH)
    assert [(j.name, j.metrics_path, j.targets) for j in jobs] == [
        ("nacos", "/nacos/actuator/prometheus", (M1, M3)),
        ("nacos-2", "/registry/actuator/prometheus", (M2,)),
    ]


def test_the_packs_of_what_was_found() -> None:
    packs = dict.fromkeys(("nacos", "jvm", "spring-boot", "self"), "groups: []")
    assert list(nacos_packs(frozenset({"nacos_monitor", "jvm_threads_live_threads"}), packs)) == [
        "nacos",
        "jvm",
        "self",
    ]
    assert list(nacos_packs(frozenset({"nacos_monitor", "tomcat_sessions_active_current_sessions"}), packs)) == [
        "nacos",
        "spring-boot",
        "self",
    ]
    assert nacos_packs(frozenset(), packs) == packs, "without an answer nothing is known"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("192.168.1.5", "http://192.168.1.5:9095"),
        ("alerts.example.com:80/x/", "http://alerts.example.com:80/x"),
        ("https://alerts.example.com/", "https://alerts.example.com"),
        ("http://[fd00::5]:9095", "http://[fd00::5]:9095"),
    ],
)
def test_the_external_url_as_people_type_it(typed: str, url: str) -> None:
    assert external_url(typed) == url


@pytest.mark.parametrize("typed", ["http://", "ftp://x", "http://x:y", "http://x/?a=b", "a b"])
def test_what_is_no_external_url(typed: str) -> None:
    with pytest.raises(AddressError, match="--external-url"):
        external_url(typed)


def test_the_address_of_this_machine_is_never_loopback_while_another_exists() -> None:
    routes = {"127.0.0.1": "127.0.0.1", "unknown": "", "10.0.0.1": "10.0.0.9", "192.0.2.1": "172.16.0.9"}

    def address(*towards: str) -> str:
        return machine_address(towards, lambda host: routes.get(host, ""))

    assert address("127.0.0.1", "10.0.0.1") == "10.0.0.9"
    assert address("unknown", "127.0.0.1") == "172.16.0.9", "that of the default route"
    routes["192.0.2.1"] = ""
    assert address("127.0.0.1") == "127.0.0.1"
    routes["2001:db8::1"] = "fd00::9"
    assert address("127.0.0.1") == "[fd00::9]"
