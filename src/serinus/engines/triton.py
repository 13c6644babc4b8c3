"""NVIDIA's Triton Inference Server over KServe's v2 API, asked by its `generate_stream` extension.

Names of its documents, 24.04 and later, with the TensorRT-LLM and vLLM backends; it does
not run here. Its page is on a port of its own (8002). `/v2/health/ready` says that the models are
loaded: it stays 200 while a backend hangs, and while the process of a Python backend is frozen.

A stream ends without saying so, and a closed connection is noticed when the next response is
written: a hung request keeps its place. `nv_inference_*` move when a request ends; the TensorRT-LLM
backend adds gauges of its batch, the vLLM backend some of vLLM's own samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from serinus.engines.chunks import Chunk
from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import CounterNames, Counters, Samples, read_counters
from serinus.engines.listing import read_names
from serinus.engines.openai_api import OpenAiApi
from serinus.engines.protocol import Answer, Question
from serinus.engines.refusals import error_text
from serinus.engines.signs import Sign, member
from serinus.engines.traits import Abort, Lie, Traits

__all__ = ["TritonEngine"]

_REQUESTS = "nv_trt_llm_request_metrics"
_NAMES = CounterNames(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting", "nv_inference_pending_request_count"),
    tokens=("vllm:generation_tokens_total",),
    finished=("nv_inference_request_success",),
)
_TRAITS = Traits(
    release="24.04 and later (documents; not run here)",
    counted="responses of the stream, one a token: its text can be empty",
    work="the backend's own: active of TensorRT-LLM, running + waiting of vLLM",
    names=_NAMES,
    at_end=("nv_inference_count", "nv_inference_exec_count"),
    lies=(
        Lie("nv_inference_pending_request_count", "is 0 for a request that a backend holds"),
        Lie(_REQUESTS, "is as old as the last iteration of the batch manager"),
        Lie("/v2/health/ready", "says 200 while a backend hangs or its process is frozen"),
    ),
    abort=Abort(by_closing=False),
)
_PARTS = ("preprocessing", "postprocessing", "tensorrt_llm")
"""Models of the TensorRT-LLM repository that are parts of its ensemble."""


@dataclass(frozen=True, slots=True)
class TritonEngine(OpenAiApi):
    """The Triton server. Models are asked in the shape of either backend."""

    name: str = "triton"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (member("/v2", "name", value="triton", told="version"),)
    models_path: str = "/v2/models/stats"
    health_path: str = "/v2/health/ready"
    metrics_port: int | None = 8002

    @property
    def metric_names(self) -> frozenset[str]:
        """The samples of its traits, and one whose labels say what it means."""
        return _NAMES.all | {_REQUESTS}

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the models that are loaded; an ensemble before its parts."""
        names = read_names(body, member="model_stats", name="name")
        return tuple(sorted(names, key=lambda name: (name in _PARTS, name != "ensemble")))

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return the question in the TensorRT-LLM backend's shape, then in the vLLM backend's."""
        path = f"/v2/models/{quote(model, safe='')}/generate_stream"
        asked = {"text_input": "Test", "stream": True}
        tensors = {"max_tokens": 1, "bad_words": "", "stop_words": ""}
        sampling = {"parameters": {"max_tokens": 1, "temperature": 0}}
        return question(path, {**asked, **tensors}), question(path, {**asked, **sampling})

    def answer_reader(self) -> TritonReader:
        """Return a new reader."""
        return TritonReader()

    def counters(self, samples: Samples) -> Counters:
        """Return what either backend says."""
        read = read_counters(samples, _NAMES)
        batch = {
            kind: sum(value for labels, value in found if labels.get("request_type") == kind)
            for found in (samples.get(_REQUESTS, ()),)
            for kind in ("active", "scheduled", "waiting")
            if found
        }
        if not batch:
            return read
        running = max(batch["active"], batch["scheduled"])
        return replace(read, running=running, waiting=batch["waiting"] + (read.waiting or 0.0))


class TritonReader(CompletionReader):
    """Reads the responses of `generate_stream`; a model of another shape is not supported."""

    def __init__(self) -> None:
        super().__init__(_read, end_is_told=False)

    @property
    def answer(self) -> Answer:
        """What is known up to now."""
        answer = super().answer
        failure = answer.failure
        if failure is None or not _other_shape(failure.detail):
            return answer
        return replace(answer, failure=replace(failure, unsupported=True))


def _other_shape(detail: str) -> bool:
    """Triton's words for inputs that a model lacks, or has and was not given."""
    return any(words in detail for words in ("inference input", "inputs but got", "of inputs"))


def _read(item: object) -> Chunk | None:
    if not isinstance(item, Mapping):
        return None
    if item.get("error"):
        return Chunk(error=error_text(item["error"]))
    return Chunk(output=True, token_ids=1) if "text_output" in item else None
