"""From targets of an `alertmanagers` section to URLs."""

from __future__ import annotations

import pytest

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.model.labels import Labels
from rulepush.notifier.endpoints import Endpoints, endpoints
from rulepush.relabel.relabel import Action, RelabelConfig

AM = "am:9093"


def group(*addresses: str, **labels: str) -> TargetGroup:
    return TargetGroup("0", tuple(Labels({ADDRESS: a}) for a in addresses), Labels(labels))


@pytest.mark.parametrize(
    ("config", "url"),
    [
        (AlertmanagerConfig(), "http://am:9093/api/v2/alerts"),
        (AlertmanagerConfig(scheme="https"), "https://am:9093/api/v2/alerts"),
        (AlertmanagerConfig(path_prefix="/am/"), "http://am:9093/am/api/v2/alerts"),
        (AlertmanagerConfig(path_prefix="/"), "http://am:9093/api/v2/alerts"),
    ],
)
def test_the_url(config: AlertmanagerConfig, url: str) -> None:
    assert endpoints(config, [group(AM)]) == Endpoints((url,), ())


def test_labels_of_the_target_win() -> None:
    found = endpoints(AlertmanagerConfig(), [group(AM, __scheme__="https", __alerts_path__="/x/api/v2/alerts")])
    assert found.active == ("https://am:9093/x/api/v2/alerts",)


def test_each_url_once_in_order() -> None:
    found = endpoints(AlertmanagerConfig(), [group("b:1", "a:1"), group("b:1")])
    assert found.active == ("http://b:1/api/v2/alerts", "http://a:1/api/v2/alerts")


def test_relabelling_moves_and_drops() -> None:
    move = RelabelConfig(regex="a:1", source_labels=(ADDRESS,), target_label=ADDRESS, replacement="c:1")
    drop = RelabelConfig(action=Action.DROP, source_labels=(ADDRESS,), regex="b:1")
    found = endpoints(AlertmanagerConfig(relabel_configs=(move, drop)), [group("a:1", "b:1")])
    assert found == Endpoints(("http://c:1/api/v2/alerts",), ("http://b:1/api/v2/alerts",))


def test_without_an_address_it_is_dropped() -> None:
    clear = RelabelConfig(target_label=ADDRESS, replacement="")
    assert endpoints(AlertmanagerConfig(relabel_configs=(clear,)), [group(AM)]).active == ()


def test_an_address_that_is_none_after_relabelling_is_dropped_and_named() -> None:
    found = endpoints(AlertmanagerConfig(), [group("http://am:9093", AM)])
    assert found.active == ("http://am:9093/api/v2/alerts",)
    assert found.faults == ('"http://am:9093" is not a valid hostname',)


def test_a_url_may_be_relabelled_into_an_address() -> None:
    host = RelabelConfig(source_labels=(ADDRESS,), regex="https?://(.+)", target_label=ADDRESS)
    found = endpoints(AlertmanagerConfig(relabel_configs=(host,)), [group("http://am:9093")])
    assert found == Endpoints(("http://am:9093/api/v2/alerts",), ())
