"""What of a resource is listed and watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rulepush.discovery.kubernetes.resource import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WatchedResource:
    """What a role needs: in each namespace of the configuration where the resource has namespaces."""

    resource: Resource[Any]
    label_selector: str = ""
    field_selector: str = ""

    def within(self, namespace: str) -> ResourceScope[Any]:
        """In one namespace, or in all ("")."""
        return ResourceScope(self.resource, namespace, self.label_selector, self.field_selector)


@dataclass(frozen=True, slots=True)
class ResourceScope(Generic[T]):
    """What is listed and watched: a resource, in one namespace ("": in all), and which of its objects."""

    resource: Resource[T]
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""

    def __str__(self) -> str:
        """`pods in namespace "shop"`."""
        if not self.resource.namespaced:
            return self.resource.name
        if not self.namespace:
            return f"{self.resource.name} in all namespaces"
        return f'{self.resource.name} in namespace "{self.namespace}"'

    @property
    def selection(self) -> dict[str, str]:
        """The selectors, as parameters of a request."""
        pairs = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in pairs.items() if value}
