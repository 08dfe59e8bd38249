"""Writes a tiny Llama model with random weights: it talks nonsense, by the same rules and through the same engine as a real
one.

    make_model.py FILE
"""

import sys

import gguf
import numpy

EMBED, HEADS, LAYERS, FORWARD, CONTEXT = 64, 4, 2, 128, 2048
WORDS = "the cat sky is blue and why not a house of cards on green hills".split()


def vocabulary():
    """Control tokens, a token for each byte, and some words, with the score and kind of each."""
    kind = gguf.TokenType
    control = [("<unk>", 0.0, kind.UNKNOWN), ("<s>", 0.0, kind.CONTROL), ("</s>", 0.0, kind.CONTROL)]
    of_bytes = [(f"<0x{byte:02X}>", 0.0, kind.BYTE) for byte in range(256)]
    words = [(f"▁{word}", -float(place), kind.NORMAL) for place, word in enumerate(WORDS)]
    letters = [(letter, -100.0 - ord(letter), kind.NORMAL) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return control + of_bytes + words + letters


def write(path):
    chance = numpy.random.default_rng(7)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny-random")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(EMBED)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(EMBED // HEADS)
    tokens = vocabulary()
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_token_list([token for token, _, _ in tokens])
    out.add_token_scores([score for _, score, _ in tokens])
    out.add_token_types([kind for _, _, kind in tokens])
    out.add_unk_token_id(0)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_chat_template("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:")

    def tensor(name, *shape):
        out.add_tensor(name, chance.normal(0, 0.3, shape).astype(numpy.float32))

    def ones(name):
        out.add_tensor(name, numpy.ones(EMBED, dtype=numpy.float32))

    tensor("token_embd.weight", len(tokens), EMBED)
    ones("output_norm.weight")
    # Only words and letters are likely: what it says can be read.
    head = chance.normal(0, 0.3, (len(tokens), EMBED)).astype(numpy.float32)
    head[: 3 + 256] *= 0.01
    out.add_tensor("output.weight", head)
    for layer in range(LAYERS):
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensor(f"blk.{layer}.{part}.weight", EMBED, EMBED)
        tensor(f"blk.{layer}.ffn_gate.weight", FORWARD, EMBED)
        tensor(f"blk.{layer}.ffn_up.weight", FORWARD, EMBED)
        tensor(f"blk.{layer}.ffn_down.weight", EMBED, FORWARD)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1])
