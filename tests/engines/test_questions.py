from __future__ import annotations

import json

from serinus.engines.openai import OpenAiEngine
from serinus.engines.vllm import VllmEngine


def test_vllm_is_asked_by_token_ids() -> None:
    """Neither tokenizer nor chat template has a part in it, and the ids of the answer are told."""
    question = VllmEngine().canary("tiny")
    assert (question.method, question.path) == ("POST", "/v1/completions")
    assert json.loads(question.body) == {
        "model": "tiny",
        "prompt": [1],
        "max_tokens": 1,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }


def test_vllms_prompt_can_be_the_models_own_bos() -> None:
    """For a vocabulary in which 1 has another use."""
    question = VllmEngine(token_id=151643).canary("tiny")
    assert json.loads(question.body)["prompt"] == [151643]


def test_others_are_asked_by_text_and_then_by_chat() -> None:
    """Only fields that every server knows: some refuse those they do not."""
    completion, chat = OpenAiEngine().alternatives("m")
    assert (completion.path, chat.path) == ("/v1/completions", "/v1/chat/completions")
    common = {"model": "m", "max_tokens": 1, "temperature": 0, "stream": True}
    assert json.loads(completion.body) == {**common, "prompt": "Test"}
    messages = [{"role": "user", "content": "Test"}]
    assert json.loads(chat.body) == {**common, "messages": messages}
