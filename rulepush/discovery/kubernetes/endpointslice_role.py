"""The role `endpointslice`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from rulepush.discovery.groups import ADDRESS
from rulepush.discovery.kubernetes.address_roles import AddressRole
from rulepush.discovery.kubernetes.endpoint_targets import EndpointTargets
from rulepush.discovery.kubernetes.labels import META, NAMESPACE, MetadataSource, add_object_labels
from rulepush.discovery.kubernetes.objects import EndpointPort, EndpointSlice, KubernetesService, Pod, SliceEndpoint
from rulepush.discovery.kubernetes.resource import Objects
from rulepush.discovery.kubernetes.resources import ENDPOINT_SLICES
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import flag_value, sanitized_label_name

_SERVICE_NAME: Final = "kubernetes.io/service-name"
_SLICE: Final = META + "endpointslice_"


class EndpointSliceRole(AddressRole[EndpointSlice, SliceEndpoint]):
    """Prometheus discovery/kubernetes/endpointslice.go. Of a dual-stack service, only the slices of its first IP family
    have targets."""

    says_protocol = False

    def __init__(
        self,
        slices: Objects[EndpointSlice],
        services: Objects[KubernetesService],
        pods: Objects[Pod],
        metadata: MetadataSource,
    ):
        super().__init__(ENDPOINT_SLICES, "endpointslice/", slices, services, pods, metadata)

    def _records(self, endpoints: EndpointSlice) -> Sequence[SliceEndpoint]:
        return endpoints.endpoints

    def _node_of(self, record: SliceEndpoint) -> str:
        """The node that the endpoint is, else the node that it is on."""
        target = record.target
        return target.name if target is not None and target.kind == "Node" else record.node_name

    def _service_key(self, endpoints: EndpointSlice) -> str:
        name = endpoints.meta.label(_SERVICE_NAME)
        return f"{endpoints.meta.namespace}/{name}" if name else ""

    def _shared_labels(self, endpoints: EndpointSlice) -> tuple[dict[str, str], bool]:
        shared = {NAMESPACE: endpoints.meta.namespace, _SLICE + "address_type": endpoints.address_type}
        add_object_labels(shared, endpoints.meta, "endpointslice")
        service = self._service_labels(shared, endpoints)
        return shared, service is None or service.primary_ip_family in ("", endpoints.address_type)

    def _make(self, targets: EndpointTargets[SliceEndpoint], endpoints: EndpointSlice) -> Generator[None, None, None]:
        made = yield from targets.make(((endpoint, "") for endpoint in endpoints.endpoints), endpoints.ports)
        for one in made:
            for of_port in one.targets:
                targets.found += of_port

    def _own_labels(self, record: SliceEndpoint, text: str, port: EndpointPort) -> tuple[dict[str, str], ...]:
        """Those of each address of the endpoint; there is no `text`."""
        shared = {
            _SLICE + "port_name": port.name,
            _SLICE + "port_protocol": port.protocol,
            _SLICE + "port": "" if port.number is None else str(port.number),
            _SLICE + "port_app_protocol": port.app_protocol,
            _SLICE + "endpoint_hostname": record.hostname,
            _SLICE + "endpoint_node_name": record.node_name,
            _SLICE + "endpoint_zone": record.zone,
        }
        for name, condition in (
            ("ready", record.ready),
            ("serving", record.serving),
            ("terminating", record.terminating),
        ):
            if condition is not None:
                shared[f"{_SLICE}endpoint_conditions_{name}"] = flag_value(condition)
        if record.target is not None:
            shared[_SLICE + "address_target_kind"] = record.target.kind
            shared[_SLICE + "address_target_name"] = record.target.name
        for name, value in record.topology:
            shared[f"{_SLICE}endpoint_topology_{sanitized_label_name(name)}"] = value
            shared[f"{_SLICE}endpoint_topology_present_{sanitized_label_name(name)}"] = "true"
        self._metadata.add_node(shared, self._node_of(record))
        return tuple(
            {ADDRESS: address if port.number is None else join_host_port(address, port.number), **shared}
            for address in record.addresses
        )
