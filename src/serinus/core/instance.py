"""One running copy of an endpoint, as others see it: a value of the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.status import HealthStatus

__all__ = ["Instance"]


class Instance(NamedTuple):
    """What an instance says of itself.

    `instance_id` is unsigned, 64 bits. `transport` has the ways to call it, each a kind and its
    address: `{"tcp": "10.0.0.7:4000/1f/demo/backend/generate"}`. `status` is None for a worker that
    does not say, as the reference's do: it is listed, and that is all that is known.
    """

    address: EndpointAddress
    instance_id: int
    transport: Mapping[str, str]
    status: HealthStatus | None = None
    reason: str = ""
    since: str = ""
    """When the status turned, as the worker's clock had it (RFC 3339): for people alone."""
    owner: str = ""
    """Who announced it: another one for every start of a process. Empty if it does not say."""
    facts: Mapping[str, object] = MappingProxyType({})
    """What else it says, for people and for the frontend: model, worker type, status address."""

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it: one that does not say is believed."""
        return self.status is not HealthStatus.NOTREADY

    @property
    def name(self) -> str:
        """The address and the id, as the reference writes it: `ns/component/endpoint/1f`."""
        return f"{'/'.join(self.address)}/{self.instance_id:x}"
