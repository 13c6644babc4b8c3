from __future__ import annotations

from typing import Any

import pytest

from serinus.errors import SettingsError
from serinus.payloads import TritonHealthCheckPayload, TritonTensor

METADATA: dict[str, Any] = {
    "name": "simple",
    "versions": ["1"],
    "platform": "python",
    "inputs": [
        {"name": "INPUT0", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "TEXT", "datatype": "BYTES", "shape": [1]},
    ],
    "outputs": [{"name": "OUTPUT0", "datatype": "FP32", "shape": [-1, 2]}],
}


def test_the_payload_is_a_kserve_infer_request() -> None:
    """The JSON body of `POST /v2/models/M/infer`, with the marker beside it."""
    inputs = [
        TritonTensor("INPUT0", "INT32", (1, 2), (3, 4)),
        TritonTensor("TEXT", "BYTES", (1,), ("hi",)),
    ]
    assert TritonHealthCheckPayload(inputs, ["OUTPUT0"], environ={}).to_dict() == {
        "id": "serinus-canary",
        "inputs": [
            {"name": "INPUT0", "shape": [1, 2], "datatype": "INT32", "data": [3, 4]},
            {"name": "TEXT", "shape": [1], "datatype": "BYTES", "data": ["hi"]},
        ],
        "outputs": [{"name": "OUTPUT0"}],
        "_HEALTH_CHECK": True,
    }


def test_the_smallest_request_is_built_from_a_models_metadata() -> None:
    """Open sizes become 1, data zeros, text empty."""
    assert TritonHealthCheckPayload.from_metadata(METADATA, environ={}).to_dict() == {
        "id": "serinus-canary",
        "inputs": [
            {"name": "INPUT0", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.0]},
            {"name": "TEXT", "shape": [1], "datatype": "BYTES", "data": [""]},
        ],
        "outputs": [{"name": "OUTPUT0"}],
        "_HEALTH_CHECK": True,
    }


def test_a_scalar_has_one_element() -> None:
    """An empty shape is a number alone."""
    assert TritonTensor("X", "BOOL", ()).to_dict()["data"] == [False]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "problem"),
    [
        ("FLOAT", (1,), None, "datatype 'FLOAT' is not known; accepted: BOOL, UINT8"),
        ("BF16", (1,), None, "datatype 'BF16' is not known"),
        ("FP32", (-1, 2), None, "shape [-1, 2] is not concrete; accepted: sizes of 1 and more"),
        ("FP32", (0,), None, "shape [0] is not concrete"),
        ("FP32", (65537,), None, "shape [65537] has more than 65536 elements"),
        ("FP32", (2, 2), (1.0,), "1 elements of data for shape [2, 2]"),
    ],
)
def test_a_tensor_that_triton_would_refuse_is_refused_at_once(
    datatype: str, shape: tuple[int, ...], data: tuple[float, ...] | None, problem: str
) -> None:
    """The canary is checked at the start, not condemned at the first answer."""
    with pytest.raises(SettingsError) as raised:
        TritonTensor("INPUT0", datatype, shape, data)
    assert str(raised.value).startswith(f"tensor 'INPUT0': {problem}")


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "inputs: none given"),
        ({"inputs": "x"}, "model metadata: inputs is 'x'"),
        ({"inputs": [3]}, "model metadata: inputs is [3]"),
        ({"inputs": [{"name": "A", "datatype": "FP32"}]}, "the shape of 'A' is None"),
        ({"inputs": [{"name": "A", "datatype": "FP32", "shape": ["1"]}]}, "the shape of 'A' is"),
        ({"inputs": [{"name": "A", "shape": [1]}]}, "tensor 'A': datatype '' is not known"),
    ],
)
def test_metadata_without_usable_inputs_is_an_error(metadata: dict[str, Any], problem: str) -> None:
    """What another server calls metadata does not become an empty canary."""
    with pytest.raises(SettingsError) as raised:
        TritonHealthCheckPayload.from_metadata(metadata, environ={})
    assert problem in str(raised.value)
