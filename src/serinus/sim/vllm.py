"""What vLLM 0.32 adds to OpenAI's API: its fields, its errors, its pages.

Held to recorded answers of a real server by `tests/sim/test_vllm_likeness.py`. Its `/health` asks
whether the engine has *reported* its death, so it is 200 while the engine is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serinus.sim.asks import Ask, AskError, Blame, Dialect, Kind
from serinus.sim.loading import LoadShape
from serinus.sim.observer import Observer
from serinus.sim.options import SimOptions
from serinus.sim.pages import SERVER, Page, Pages, Situation, json_page
from serinus.sim.shapes import Answer, OpenAiShapes, Reply, Stamp
from serinus.sim.vllm_metrics import VllmPage

__all__ = ["Vllm"]

VERSION = "0.32.0"
FINGERPRINT = f"vllm-{VERSION}-simulated"
_SLEEP_STATES = {"0": "", "1": "weights_offloaded", "2": "discard_all"}
_SLEEP_MODES = ("abort", "keep")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class VllmShapes(OpenAiShapes):
    """The JSON of vLLM."""

    finish_apart = False
    done_after_error = True

    def __init__(self, model: str, *, context: int) -> None:
        super().__init__(model)
        self._context = context

    def model_card(self) -> dict[str, Any]:
        """Return the entry of the model, with its context and its permissions."""
        card = super().model_card()
        stamp = self.stamp(Kind.COMPLETION)
        permission = {
            "id": stamp.id.replace("cmpl", "modelperm"),
            "object": "model_permission",
            "created": stamp.created,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            **card,
            "owned_by": "vllm",
            "root": f"/models/{self.model}",
            "parent": None,
            "max_model_len": self._context,
            "permission": [permission],
        }

    def whole(self, ask: Ask, stamp: Stamp, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return an answer in one piece, with what vLLM says of it."""
        plain = super().whole(ask, stamp, answers)
        usage = {
            **plain.pop("usage"),
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        }
        prompt: dict[str, Any] = {}
        if ask.kind is Kind.CHAT:
            ids = list(ask.orders[0].prompt) if ask.token_ids else None
            prompt = {"prompt_logprobs": None, "prompt_token_ids": ids, "prompt_text": None}
        return {
            **plain,
            "service_tier": None,
            "system_fingerprint": FINGERPRINT,
            "usage": usage,
            **prompt,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }

    def choice(self, ask: Ask, answer: Answer) -> dict[str, Any]:
        """Return one sequence."""
        plain = super().choice(ask, answer)
        ids = list(answer.tokens) if ask.token_ids else None
        if ask.kind is Kind.CHAT:
            more = {"annotations": None, "audio": None, "function_call": None, "reasoning": None}
            plain["message"] = {**plain["message"], **more}
            return {**plain, "stop_reason": None, "token_ids": ids, "routed_experts": None}
        return {
            **plain,
            "stop_reason": None,
            "token_ids": ids,
            "prompt_logprobs": None,
            "prompt_token_ids": list(answer.prompt) if ask.token_ids else None,
            "routed_experts": None,
        }

    def role_chunk(self, ask: Ask, stamp: Stamp, answer: Answer) -> dict[str, Any]:
        """Return what a chat's stream begins with, the ids of the prompt included."""
        ids = list(answer.prompt) if ask.token_ids else None
        plain = super().role_chunk(ask, stamp, answer)
        return {**plain, "prompt_token_ids": ids, "prompt_text": None}

    def token_chunk(
        self, ask: Ask, stamp: Stamp, answer: Answer, *, first: bool, last: bool
    ) -> dict[str, Any]:
        """Return an event with tokens."""
        choice = self.delta(ask, answer)
        chat = ask.kind is Kind.CHAT
        if not chat or answer.finish is not None:
            choice["stop_reason"] = None
        if not chat:
            wanted = ask.token_ids and first
            choice["prompt_token_ids"] = list(answer.prompt) if wanted else None
        choice["token_ids"] = list(answer.tokens) if ask.token_ids else None
        chunk = self.chunk(ask, stamp, [choice])
        if last and not ask.usage:
            chunk["system_fingerprint"] = FINGERPRINT
        return chunk

    def usage_chunk(self, ask: Ask, stamp: Stamp, made: int) -> dict[str, Any]:
        """Return the event that counts the tokens."""
        return {**super().usage_chunk(ask, stamp, made), "system_fingerprint": FINGERPRINT}

    def error(self, status: int, message: str, kind: str, param: str | None) -> Reply:
        """Return an error; its code is the status once more."""
        body = {"message": message, "type": kind, "param": param, "code": status}
        return Reply(status, {"error": body})

    def refusal(self, failure: AskError) -> Reply:
        """Return the answer to a request that cannot be served."""
        if failure.blame is Blame.MODEL:
            return self.error(404, failure.message, "NotFoundError", failure.param)
        kind = "Bad Request" if failure.blame is Blame.SHAPE else "BadRequestError"
        return self.error(400, failure.message, kind, failure.param)

    def busy(self) -> Reply:
        """Return what `--max-num-queued-reqs` answers when it is reached."""
        message = (
            "The engine is currently busy and cannot accept new requests. "
            "Please try again later or on a different instance."
        )
        return self.error(503, message, "Service Unavailable", None)

    def broken(self) -> Reply:
        """Return the answer to a request that the engine failed."""
        return self.error(500, "Internal server error", "InternalServerError", None)


class Vllm:
    """The flavour of vLLM."""

    name = "vllm"
    server = SERVER
    load_shape = LoadShape.CLOSED

    def __init__(self, options: SimOptions) -> None:
        self._options = options
        self._page = VllmPage(
            model=options.model,
            context=options.context,
            capacity=options.context * options.pace.slots,
            ranks=options.ranks,
        )
        self.shapes: OpenAiShapes = VllmShapes(options.model, context=options.context)
        self.dialect = Dialect(
            options.model, options.context, takes_token_ids=True, needs_model=False
        )

    @property
    def observer(self) -> Observer:
        """The metrics page, which hears of every step."""
        return self.observer_of(0)

    def observer_of(self, rank: int) -> Observer:
        """Return the part of the metrics page that is a rank's."""
        return self._page.ranks[rank]

    def metrics(self) -> str:
        """Return the metrics page as it is now."""
        return self._page.text()

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""

        def alive(situation: Situation) -> Page:
            return self._loading() if situation.loading else Page()

        return {
            "/health": {"GET": alive},
            "/ping": {"GET": alive, "POST": alive},
            "/load": {"GET": self._load},
            "/sleep": {"POST": self._sleep},
            "/wake_up": {"POST": self._wake},
            "/is_sleeping": {"GET": self._is_sleeping},
            "/version": {"GET": lambda _: json_page({"version": VERSION})},
            "/v1/models": {
                "GET": lambda now: json_page(self.shapes.models(loaded=not now.loading))
            },
            "/metrics": {"GET": lambda now: Page(200, now.metrics(), METRICS_TYPE)},
        }

    def unknown(self, status: int) -> Page:
        """Return FastAPI's answers to a path or a method that is not served."""
        detail = "Not Found" if status == 404 else "Method Not Allowed"
        return json_page({"detail": detail}, status=status)

    def _load(self, situation: Situation) -> Page:
        """Answer `/load`: nought unless `--enable-server-load-tracking` was asked for."""
        tracked = situation.in_flight if self._options.load_tracking else 0
        return json_page({"server_load": tracked})

    def _sleep(self, situation: Situation) -> Page:
        """Put it to sleep as `VLLM_SERVER_DEV_MODE=1` lets its owner do; level 0 is a pause."""
        level, mode = situation.query.get("level", "1"), situation.query.get("mode", "abort")
        if level not in _SLEEP_STATES or mode not in _SLEEP_MODES:
            wanted = f"level 0, 1 or 2 and mode {' or '.join(_SLEEP_MODES)}"
            return json_page({"detail": f"{wanted} are accepted"}, status=422)
        situation.sleep(mode == "abort")
        self._page.sleeps(_SLEEP_STATES[level])
        return json_page({"status": "sleeping", "level": int(level)})

    def _wake(self, situation: Situation) -> Page:
        situation.wake()
        self._page.sleeps("awake")
        return json_page({"status": "awake", "tags": None})

    async def _is_sleeping(self, situation: Situation) -> Page:
        """Answer for the core, which is asked: never while it is frozen."""
        await situation.core()
        return json_page({"is_sleeping": situation.asleep})

    def _loading(self) -> Page:
        reply = self.shapes.loading()
        return json_page(reply.body, status=reply.status)
