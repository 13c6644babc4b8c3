"""vLLM's metrics page: the names, labels, kinds and buckets of vLLM 0.32, fed by the engine.

What the simulator has no counterpart for (caches, preemption) is there and stands still.
The page of a real server also has `python_*`, `process_*` and `http_*` families; of these only
`process_start_time_seconds` is given, for readers that look for a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from serinus.sim.metrics import Counter, Gauge, Histogram, Joined, Labels, page
from serinus.sim.observer import Ended, Step

__all__ = ["VllmPage", "VllmRank"]

# fmt: off
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0)
_GAP = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
        20.0, 40.0, 80.0)
_LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0,
            120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_COPIES = (1, 2, 5, 10, 20)
_PREEMPTIONS = (1, 2, 3, 4, 5, 10, 20)
_STILL = (  # counters of things that do not happen here: name, what it counts, label, its values
    ("estimated_flops_per_gpu_total", "Estimated number of floating point operations.", "", ()),
    ("estimated_read_bytes_per_gpu_total", "Estimated number of bytes read from memory.", "", ()),
    ("estimated_write_bytes_per_gpu_total", "Estimated number of bytes written to memory.", "", ()),
    ("prefix_cache_queries_total", "Prefix cache queries, in tokens.", "", ()),
    ("prefix_cache_hits_total", "Prefix cache hits, in tokens.", "", ()),
    ("external_prefix_cache_queries_total", "External prefix cache queries, in tokens.", "", ()),
    ("external_prefix_cache_hits_total", "External prefix cache hits, in tokens.", "", ()),
    ("mm_cache_queries_total", "Multi-modal cache queries, in items.", "", ()),
    ("mm_cache_hits_total", "Multi-modal cache hits, in items.", "", ()),
    ("num_preemptions_total", "Cumulative number of preemption from the engine.", "", ()),
    ("prompt_tokens_cached_total", "Number of cached prompt tokens (local + external).", "", ()),
    ("prompt_tokens_cached_by_source_total", "Cached prompt tokens, by cache tier.",
     "source", ("device", "host", "p2p", "disk", "external_unspecified")),
)
# fmt: on
_SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")
_FINISHED = ("stop", "length", "abort", "error", "repetition")
_REFUSALS = ("max_num_queued_reqs", "max_num_queued_tokens")
_SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")


def _up_to(most: int) -> tuple[int, ...]:
    """Return 1, 2, 5, 10, 20, 50 … as far as `most`: vLLM's buckets for lengths."""
    bounds: list[int] = []
    decade = 1
    while decade <= most:
        bounds += [step * decade for step in (1, 2, 5) if step * decade <= most]
        decade *= 10
    return tuple(bounds)


class VllmPage:
    """The page of all ranks. `context` and `capacity` are those of each of them, in tokens."""

    def __init__(
        self,
        *,
        model: str,
        context: int,
        capacity: int,
        ranks: int = 1,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.ranks = tuple(
            VllmRank(rank, model=model, context=context, capacity=capacity, wall=wall)
            for rank in range(ranks)
        )

    def text(self) -> str:
        """Return the page as it is now."""
        families = [rank.families() for rank in self.ranks]
        joined = [Joined(parts) for parts in zip(*families, strict=True)]
        return page(joined, created=self.ranks[0].created)

    def sleeps(self, state: str) -> None:
        """Take in how it sleeps, one of the values of the label; empty for none of them."""
        for rank in self.ranks:
            rank.sleeps(state)


class VllmRank:
    """The part of one rank, and the observer that keeps it true.

    `context` is the longest prompt with its answer and `capacity` what the key-value cache holds,
    both in tokens.
    """

    def __init__(
        self,
        rank: int,
        *,
        model: str,
        context: int,
        capacity: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.created = wall()
        self._capacity = capacity
        self._engine: dict[str, str] = {"engine": str(rank), "model_name": model}
        self._model: dict[str, str] = {"model_name": model}
        self._values: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._declare_values()
        self._declare_histograms(_up_to(context))

    def families(self) -> tuple[Gauge | Histogram, ...]:
        """Return its families, in the order of the page."""
        return (*self._values.values(), *self._histograms.values())

    def stepped(self, step: Step) -> None:
        """Take a step into the counters, and the state after it into the gauges."""
        self._set("num_requests_running", step.running)
        self._set("num_requests_waiting", step.waiting)
        self._set("num_requests_waiting_by_reason", step.waiting, reason="capacity")
        self._set("kv_cache_usage_perc", step.kept_tokens / self._capacity)
        if step.tokens:  # a step that only reads a prompt brings nothing, and is not heard of
            self._observe("iteration_tokens_total", step.computed_tokens)
        self._add("prompt_tokens_total", step.prompt_tokens)
        self._add("prompt_tokens_by_source_total", step.prompt_tokens, source="local_compute")
        self._add("prefix_cache_queries_total", step.prompt_tokens)
        self._add("generation_tokens_total", step.tokens)
        for seconds in step.first_tokens:
            self._observe("time_to_first_token_seconds", seconds)
        for seconds in step.gaps:
            self._observe("inter_token_latency_seconds", seconds)
        for each in step.ended:
            self._ended(each)

    def sleeps(self, state: str) -> None:
        """Take in how it sleeps, one of the values of the label; empty for none of them."""
        for one in _SLEEP_STATES:
            self._set("engine_sleep_state", one == state, sleep_state=one)

    def refused(self) -> None:
        """Count a request that found the queue full."""
        labels = {**self._model, "reason": "max_num_queued_reqs"}
        self._values["vllm:admission_rejections_total"].add(1, labels)

    def _ended(self, ended: Ended) -> None:
        self._add("request_success_total", 1, finished_reason=ended.reason)
        order = ended.order
        observations = {
            "request_prompt_tokens": len(order.prompt),
            "request_generation_tokens": ended.tokens,
            "request_max_num_generation_tokens": ended.tokens,
            "request_params_n": 1,
            "request_params_max_tokens": order.max_tokens,
            "request_time_per_output_token_seconds": ended.decode / max(1, ended.tokens - 1),
            "e2e_request_latency_seconds": ended.total,
            "request_queue_time_seconds": ended.queued,
            "request_inference_time_seconds": ended.prefill + ended.decode,
            "request_prefill_time_seconds": ended.prefill,
            "request_decode_time_seconds": ended.decode,
            "request_num_preemptions": 0,
            "request_prefill_kv_computed_tokens": len(order.prompt),
        }
        for name, value in observations.items():
            self._observe(name, value)

    def _set(self, name: str, value: float, **labels: str) -> None:
        self._values[f"vllm:{name}"].set(value, {**self._engine, **labels})

    def _add(self, name: str, value: float, **labels: str) -> None:
        self._values[f"vllm:{name}"].add(value, {**self._engine, **labels})

    def _observe(self, name: str, value: float) -> None:
        self._histograms[f"vllm:{name}"].observe(value)

    def _each(self, label: str, values: tuple[str, ...]) -> tuple[Labels, ...]:
        return tuple({**self._engine, label: value} for value in values)

    def _declare_values(self) -> None:
        def gauge(name: str, about: str, *labels: Labels, value: float = 0.0) -> None:
            full = f"vllm:{name}"
            self._values[full] = Gauge(full, about, *(labels or (self._engine,)), value=value)

        def counter(name: str, about: str, *labels: Labels) -> None:
            full = f"vllm:{name}"
            self._values[full] = Counter(full, about, *(labels or (self._engine,)))

        gauge("num_requests_running", "Number of requests in model execution batches.")
        gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        gauge(
            "num_requests_waiting_by_reason",
            "Number of waiting requests by reason.",
            *self._each("reason", ("capacity", "deferred")),
        )
        states = self._each("sleep_state", _SLEEP_STATES)
        gauge("engine_sleep_state", "Engine sleep state.", *states)
        self._set("engine_sleep_state", 1, sleep_state="awake")
        gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        counter("prompt_tokens_total", "Number of prefill tokens processed.")
        counter(
            "prompt_tokens_by_source_total",
            "Number of prompt tokens by source.",
            *self._each("source", _SOURCES),
        )
        counter("generation_tokens_total", "Number of generation tokens processed.")
        counter(
            "request_success_total",
            "Count of successfully processed requests.",
            *self._each("finished_reason", _FINISHED),
        )
        counter(
            "admission_rejections_total",
            "Number of admission attempts rejected by a queue limit, by reason.",
            *({**self._model, "reason": each} for each in _REFUSALS),
        )
        for name, about, label, values in _STILL:
            counter(name, about, *self._each(label, values))
        gauge("cache_config_info", "Information of the LLMEngine CacheConfig", value=1.0)
        started = Gauge("process_start_time_seconds", "Start time of the process.", {})
        started.set(self.created, {})
        self._values[started.name] = started

    def _declare_histograms(self, lengths: tuple[int, ...]) -> None:
        for name, bounds, about in (
            ("request_prompt_tokens", lengths, "Number of prefill tokens processed."),
            ("request_generation_tokens", lengths, "Number of generation tokens processed."),
            ("iteration_tokens_total", _STEP, "Number of tokens per engine_step."),
            ("request_max_num_generation_tokens", lengths, "Tokens requested at most."),
            ("request_params_n", _COPIES, "The n request parameter."),
            ("request_params_max_tokens", lengths, "The max_tokens request parameter."),
            ("time_to_first_token_seconds", _FIRST_TOKEN, "Time to first token in seconds."),
            ("inter_token_latency_seconds", _GAP, "Inter-token latency in seconds."),
            ("request_time_per_output_token_seconds", _GAP, "Seconds a token, per request."),
            ("e2e_request_latency_seconds", _LATENCY, "End to end latency in seconds."),
            ("request_queue_time_seconds", _LATENCY, "Time spent in WAITING phase."),
            ("request_inference_time_seconds", _LATENCY, "Time spent in RUNNING phase."),
            ("request_prefill_time_seconds", _LATENCY, "Time spent in PREFILL phase."),
            ("request_decode_time_seconds", _LATENCY, "Time spent in DECODE phase."),
            ("request_num_preemptions", _PREEMPTIONS, "Times a request was preempted."),
            ("request_prefill_kv_computed_tokens", lengths, "New KV tokens in prefill."),
        ):
            full = f"vllm:{name}"
            self._histograms[full] = Histogram(full, about, bounds, self._engine)
