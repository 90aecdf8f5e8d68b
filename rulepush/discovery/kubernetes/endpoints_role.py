"""The role `endpoints`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from rulepush.discovery.groups import ADDRESS
from rulepush.discovery.kubernetes.address_roles import AddressRole
from rulepush.discovery.kubernetes.endpoint_targets import EndpointTargets
from rulepush.discovery.kubernetes.labels import META, NAMESPACE, MetadataSource, add_object_labels
from rulepush.discovery.kubernetes.objects import (
    EndpointAddress,
    EndpointPort,
    KubernetesEndpoints,
    KubernetesService,
    Pod,
)
from rulepush.discovery.kubernetes.resource import Objects
from rulepush.discovery.kubernetes.resources import ENDPOINTS
from rulepush.model.host_port import join_host_port

_ENDPOINT: Final = META + "endpoint_"


class EndpointsRole(AddressRole[KubernetesEndpoints, EndpointAddress]):
    """Prometheus discovery/kubernetes/endpoints.go."""

    says_protocol = True

    def __init__(
        self,
        endpoints: Objects[KubernetesEndpoints],
        services: Objects[KubernetesService],
        pods: Objects[Pod],
        metadata: MetadataSource,
    ):
        super().__init__(ENDPOINTS, "endpoints/", endpoints, services, pods, metadata)

    def _records(self, endpoints: KubernetesEndpoints) -> Sequence[EndpointAddress]:
        return [a for subset in endpoints.subsets for some in (subset.ready, subset.not_ready) for a in some]

    def _node_of(self, record: EndpointAddress) -> str:
        """The node that the address is on, else the node that it is."""
        if record.node_name or record.target is None or record.target.kind != "Node":
            return record.node_name
        return record.target.name

    def _service_key(self, endpoints: KubernetesEndpoints) -> str:
        return endpoints.meta.key

    def _shared_labels(self, endpoints: KubernetesEndpoints) -> tuple[dict[str, str], bool]:
        shared = {NAMESPACE: endpoints.meta.namespace}
        self._service_labels(shared, endpoints)
        add_object_labels(shared, endpoints.meta, "endpoints")
        return shared, True

    def _make(
        self, targets: EndpointTargets[EndpointAddress], endpoints: KubernetesEndpoints
    ) -> Generator[None, None, None]:
        for subset in endpoints.subsets:
            records = [(address, "true") for address in subset.ready] + [(a, "false") for a in subset.not_ready]
            made = yield from targets.make(records, subset.ports)
            for of_port in zip(*(one.targets for one in made), strict=True):
                targets.found += (labels for of_record in of_port for labels in of_record)

    def _own_labels(self, record: EndpointAddress, text: str, port: EndpointPort) -> tuple[dict[str, str], ...]:
        """`text` tells whether the address is ready."""
        labels = {
            ADDRESS: join_host_port(record.ip, port.number or 0),
            _ENDPOINT + "port_name": port.name,
            _ENDPOINT + "port_protocol": port.protocol,
            _ENDPOINT + "ready": text,
            _ENDPOINT + "node_name": record.node_name,
            _ENDPOINT + "hostname": record.hostname,
        }
        if record.target is not None:
            labels[_ENDPOINT + "address_target_kind"] = record.target.kind
            labels[_ENDPOINT + "address_target_name"] = record.target.name
        self._metadata.add_node(labels, self._node_of(record))
        return (labels,)
