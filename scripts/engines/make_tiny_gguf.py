"""Make a tiny model with random weights for llama.cpp, as a GGUF file.

    python make_tiny_gguf.py FILE

Needs gguf and numpy, and fetches nothing. The same model comes out every time: two layers of Llama,
128 wide. Its vocabulary is the 256 bytes, so that any prompt has tokens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

CONTROL = ("<pad>", "<s>", "</s>")
"""With the ids 0, 1 and 2."""
WIDTH, INNER, HEADS, LAYERS, CONTEXT = 128, 256, 2, 2, 8192
SEED = 20

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def describe(writer: gguf.GGUFWriter) -> int:
    """Write the shape and the vocabulary; return the number of its tokens."""
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    tokens = [*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.BYTE] * 256
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    return len(tokens)


def weigh(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    """Write the weights: small random numbers, and ones where a norm scales."""
    draw = np.random.default_rng(SEED)

    def random(name: str, *shape: int) -> None:
        writer.add_tensor(name, (draw.standard_normal(shape) * 0.02).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    random("token_embd.weight", vocabulary, WIDTH)
    random("output.weight", vocabulary, WIDTH)
    ones("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(f"{block}attn_norm.weight")
        ones(f"{block}ffn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            random(f"{block}{name}.weight", WIDTH, WIDTH)
        random(f"{block}ffn_gate.weight", INNER, WIDTH)
        random(f"{block}ffn_up.weight", INNER, WIDTH)
        random(f"{block}ffn_down.weight", WIDTH, INNER)


def main() -> None:
    """Write the model to the file named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(file), "llama")
    weigh(writer, describe(writer))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{file}: a Llama with random weights")


if __name__ == "__main__":
    main()
