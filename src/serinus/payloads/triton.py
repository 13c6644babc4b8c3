"""Payloads for workers in front of Triton: a KServe v2 infer request, the smallest that runs.

The shape is the body of `POST /v2/models/M/infer` in the KServe v2 JSON protocol:
`{"id", "inputs": [{"name", "shape", "datatype", "data"}], "outputs": [{"name"}]}` with `data` flat,
in row-major order. It goes to the worker's handler, which takes the marker away before it asks
Triton, whose JSON has no place for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from serinus.errors import SettingsError, excerpt
from serinus.payloads.base import HealthCheckPayload

__all__ = ["TritonHealthCheckPayload", "TritonTensor"]

_Element: TypeAlias = bool | int | float | str

_ZEROS: Mapping[str, _Element] = {
    "BOOL": False,
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64"), 0),
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64"), 0),
    **dict.fromkeys(("FP16", "FP32", "FP64"), 0.0),
    "BYTES": "",
}
"""Every KServe v2 datatype that JSON can carry, with its zero. BF16 needs binary tensors."""

_MAX_ELEMENTS = 1 << 16


@dataclass(frozen=True, slots=True)
class TritonTensor:
    """One input: its name, KServe v2 datatype and shape; zeros (or "") where `data` is None.

    Raises SettingsError for an unknown datatype, a size below 1, more than 65,536 elements, or
    data whose length is not the product of the shape.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: tuple[_Element, ...] | None = None

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise SettingsError(f"tensor {excerpt(self.name, limit=80)!r}: {problem}")

    @property
    def elements(self) -> int:
        """How many numbers or strings the tensor holds."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the tensor as the JSON protocol has it."""
        data = self.data if self.data is not None else (_ZEROS[self.datatype],) * self.elements
        return {
            "name": self.name,
            "shape": list(self.shape),
            "datatype": self.datatype,
            "data": list(data),
        }

    def _problem(self) -> str:
        if self.datatype not in _ZEROS:
            accepted = ", ".join(_ZEROS)
            shown = excerpt(self.datatype, limit=80)
            return f"datatype {shown!r} is not known; accepted: {accepted}"
        if any(size < 1 for size in self.shape):
            return f"shape {list(self.shape)} is not concrete; accepted: sizes of 1 and more"
        if self.elements > _MAX_ELEMENTS:
            return f"shape {list(self.shape)} has more than {_MAX_ELEMENTS} elements"
        if self.data is not None and len(self.data) != self.elements:
            return f"{len(self.data)} elements of data for shape {list(self.shape)}"
        return ""


class TritonHealthCheckPayload(HealthCheckPayload):
    """One inference of a Triton model, with these inputs; no `outputs` means all of them.

    >>> tensor = TritonTensor("INPUT0", "FP32", (1, 2))
    >>> TritonHealthCheckPayload([tensor], environ={}).to_dict()["inputs"]
    [{'name': 'INPUT0', 'shape': [1, 2], 'datatype': 'FP32', 'data': [0.0, 0.0]}]
    """

    def __init__(
        self,
        inputs: Sequence[TritonTensor],
        outputs: Sequence[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if not inputs:
            raise SettingsError("inputs: none given; accepted: one TritonTensor an input")
        self.default_payload = {
            "id": "serinus-canary",
            "inputs": [tensor.to_dict() for tensor in inputs],
            "outputs": [{"name": name} for name in outputs],
        }
        super().__init__(environ=environ)

    @classmethod
    def from_metadata(
        cls, metadata: Mapping[str, Any], *, environ: Mapping[str, str] | None = None
    ) -> TritonHealthCheckPayload:
        """Build the smallest request a model takes from the answer of `GET /v2/models/M`.

        Sizes that the model leaves open (-1) become 1. Raises SettingsError where the answer
        describes no inputs, or one that JSON cannot carry.
        """
        inputs = _entries(metadata, "inputs")
        tensors = [_smallest(entry) for entry in inputs]
        names = [str(entry.get("name", "")) for entry in _entries(metadata, "outputs")]
        return cls(tensors, names, environ=environ)


def _entries(metadata: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = metadata.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
        raise SettingsError(
            f"model metadata: {key} is {excerpt(repr(entries), limit=80)}; accepted: a list of "
            'objects such as {"name": "IN", "datatype": "FP32", "shape": [-1, 4]}'
        )
    return entries


def _smallest(entry: Mapping[str, Any]) -> TritonTensor:
    sizes = entry.get("shape")
    if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
        raise SettingsError(
            f"model metadata: the shape of {excerpt(entry.get('name'), limit=80)!r} is "
            f"{excerpt(repr(sizes), limit=80)}; accepted: a list of integers"
        )
    shape = tuple(1 if size == -1 else size for size in sizes)
    return TritonTensor(str(entry.get("name", "")), str(entry.get("datatype", "")), shape)
