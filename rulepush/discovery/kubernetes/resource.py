"""What the watches of Kubernetes and the roles, which make groups of what they see, know of each other.

A watch keeps the projected objects of one resource and tells which changed. A role is pure: it reads objects, and says
which groups a change concerns and what a group holds now.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from rulepush.discovery.groups import TargetGroup
from rulepush.discovery.kubernetes.pieces import PieceFormat, SteadyField

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind of object of the API.

    `name` is the plural of its paths (`pods`), `api` the path of its group and version (`/api/v1`,
    `/apis/discovery.k8s.io/v1`). `project` keeps of a whole object, as JSON gives it, only what labels need; it raises
    KeyError, TypeError, AttributeError or ValueError for what is no such object. `pieces` tells how large ones are cut.
    """

    name: str
    api: str
    project: Callable[[Mapping[str, Any]], T]
    namespaced: bool = True
    pieces: PieceFormat | SteadyField | None = None

    def path(self, namespace: str = "") -> str:
        """Where it is listed: in one namespace, or in all of them."""
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{self.api}{inside}/{self.name}"


@dataclass(frozen=True, slots=True)
class ObjectChange(Generic[T]):
    """One object is new (`before` is None), other than before, or gone (`after` is None)."""

    key: str
    before: T | None
    after: T | None


class Objects(Protocol[T_co]):
    """The objects of one resource, over all watched namespaces.

    A key is `namespace/name`, or `name` where the resource has no namespaces.
    """

    def get(self, key: str) -> T_co | None:
        """The object as it was last seen, None when there is none."""
        ...

    def items(self) -> Iterable[tuple[str, T_co]]:
        """All objects, with their keys."""
        ...


class Role(Protocol):
    """Makes groups of objects. It reads the objects after a change, so `before` of a change is the only past."""

    def sources(self) -> Iterable[str]:
        """The sources of all groups that there are."""
        ...

    def affected(self, resource: Resource[Any], change: ObjectChange[Any]) -> Iterable[str]:
        """The sources of groups that may be other ones after this change; a source may come twice."""
        ...

    def group(self, source: str) -> Generator[None, None, TargetGroup | None]:
        """Returns the group as it is now; None when it has ended, or never was. It is made in steps, for one may have
        thousands of targets: objects that change between them make the group one that `affected` tells of."""
        ...
