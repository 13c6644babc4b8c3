"""Make a tiny chat model with random weights, as a Hugging Face folder.

    python make_tiny_model.py FOLDER [SEED]

Needs torch, transformers and tokenizers (vLLM's environment has them) and fetches nothing.
The same model comes out every time. It answers nonsense, but through every part of a real
engine: tokenizer, chat template, scheduler, attention, sampling.

With a SEED of its own it has other weights, the same tokenizer, and is as sure of its tokens as a
trained model is: of random weights all tokens are about equally likely otherwise.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"
ROLES = ("user", "assistant", "system")
VOCABULARY = 512
SEED = 20
SURE = 20.0
"""By what the last layer of a model with a seed of its own is multiplied."""

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

CORPUS = (
    "a canary sings while the air is good and falls silent first when it is not "
    "so ask the engine for one token and listen for the answer"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any prompt has tokens, trained on shuffles of one sentence."""
    draw = random.Random(SEED)
    words = CORPUS.split()
    lines = (" ".join(draw.choices(words, k=len(words))) for _ in range(200))
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    # The first three get the ids 0, 1 and 2, which the model's configuration repeats.
    special = [PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(lines, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )
    fast.chat_template = TEMPLATE
    return fast


def model(seed: int | None) -> LlamaForCausalLM:
    """Two layers of Llama, 128 wide: under half a million parameters."""
    torch.manual_seed(SEED if seed is None else seed)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        **ids,
    )
    llama = LlamaForCausalLM(config)
    for name, token in ids.items():
        setattr(llama.generation_config, name, token)
    if seed is not None:
        with torch.no_grad():
            llama.lm_head.weight.mul_(SURE)
    return llama


def main() -> None:
    """Write the model and its tokenizer to the folder named on the command line."""
    if len(sys.argv) not in {2, 3} or not all(map(str.isdecimal, sys.argv[2:])):
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer().save_pretrained(folder)
    model(int(sys.argv[2]) if len(sys.argv) == 3 else None).save_pretrained(folder)
    print(f"{folder}: a Llama with random weights")


if __name__ == "__main__":
    main()
