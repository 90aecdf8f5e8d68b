"""What the list of servers tells of Raft, as each release reports it."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from rulepush.nacos.dialects import Member, detect
from rulepush.nacos.fake_server import FakeNacos
from rulepush.nacos.raft_state import RaftGroupState, is_up, raft_groups
from rulepush.nacos.session import NacosLogin, NacosSession
from tests.fakes import FakeClock

MEMBERS = ("10.0.0.1:8848", "10.0.0.2:8848", "10.0.0.3:8848")


def _members(nacos: FakeNacos) -> list[Member]:
    async def ask() -> list[Member]:
        async with httpx.AsyncClient(transport=nacos.transport()) as client:
            session = NacosSession(client, ["http://nacos:8848/nacos"], NacosLogin(), FakeClock())
            return await (await detect(session)).members(session)

    return asyncio.run(ask())


def _groups(nacos: FakeNacos) -> set[RaftGroupState]:
    return set(raft_groups(_members(nacos)).values())


@pytest.mark.parametrize("version", ["1.4.6", "2.0.4", "2.4.3", "3.0.3"])
def test_a_healthy_cluster(version: str) -> None:
    nacos = FakeNacos(version, clock=FakeClock(), members=MEMBERS)
    assert set(raft_groups(_members(nacos))) >= {"naming_persistent_service_v2", "naming_service_metadata"}
    assert _groups(nacos) == {RaftGroupState(leader_up=True, leaders=1, term=3)}
    assert [is_up(m) for m in _members(nacos)] == [True] * 3


@pytest.mark.parametrize("state", ["DOWN", "SUSPICIOUS"])
def test_a_leader_that_is_not_up_is_lost_until_another_one_is_elected(state: str) -> None:
    nacos = FakeNacos("2.4.3", clock=FakeClock(), members=MEMBERS)
    nacos.registry.members[0] = ("10.0.0.1", 8848, state)
    assert _groups(nacos) == {RaftGroupState(leader_up=False, leaders=1, term=3)}
    nacos.registry.leader_of = dict.fromkeys(("10.0.0.2", "10.0.0.3"), "10.0.0.2")  # the dead one still names itself
    nacos.registry.term = 4
    assert _groups(nacos) == {RaftGroupState(leader_up=True, leaders=1, term=4)}


def test_servers_that_name_different_leaders_are_counted() -> None:
    nacos = FakeNacos("3.0.3", clock=FakeClock(), members=MEMBERS)
    nacos.registry.leader_of = {"10.0.0.3": "10.0.0.3"}
    assert _groups(nacos) == {RaftGroupState(leader_up=True, leaders=2, term=3)}


def test_before_the_cluster_module_there_are_no_groups() -> None:
    assert _groups(FakeNacos("1.2.1", clock=FakeClock(), members=MEMBERS)) == set()
