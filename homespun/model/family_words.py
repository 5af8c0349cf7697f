"""What families have in common: the fields and names of Llama's descendants, and of llama.cpp. Needs no torch."""

from __future__ import annotations

from homespun.model.family import GGUF, Field, Found, Windows


def heads(found: Found) -> int:
    """As many keys and values as queries."""
    n_head: int = found["n_head"]
    return n_head


def width_by_heads(found: Found) -> int:
    return max(1, found["n_embd"] // found["n_head"])


def inverse(value: float) -> float:
    return float(f"{1 / value:.12g}")


def inverse_root(value: float) -> float:
    return float(value) ** -0.5


def inverse_square(value: float) -> float:
    """The other way round, a whole number where it is one but for rounding."""
    exact = value**-2
    return round(exact) if abs(exact - round(exact)) < 1e-6 else exact


def four_times_wider(found: Found) -> int:
    return 4 * int(found["n_embd"])


LLAMA_FIELDS = {
    "n_head": Field("num_attention_heads"),
    "n_embd": Field("hidden_size"),
    "context_length": Field("max_position_embeddings", others=("max_sequence_length",)),
    "vocab_size": Field("vocab_size"),
    "n_layer": Field("num_hidden_layers"),
    "n_kv_head": Field("num_key_value_heads", heads),
    "n_inner": Field("intermediate_size"),
    "head_width": Field("head_dim", width_by_heads),
    "norm_eps": Field("rms_norm_eps", 1e-6),
    "dropout": Field("attention_dropout", 0.0),
    "tied_head": Field("tie_word_embeddings", False),
}
LLAMA_NAMES = {
    "token_embedding": "model.embed_tokens",
    "final_norm": "model.norm",
    "head": "lm_head",
    "blocks": "model.layers",
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
LLAMA_WRITTEN = {"hidden_act": "silu", "initializer_range": 0.02, "use_cache": True}
SILU = ("silu", "swish")
QWEN_WINDOWS = Windows(switch="use_sliding_window", first=Field("max_window_layers", 28))

# llama.cpp's words are gguf-py's (tensor_mapping.py, constants.py).
GGUF_NAMES = {
    "token_embedding": "token_embd",
    "position_embedding": "position_embd",
    "final_norm": "output_norm",
    "head": "output",
    "blocks": "blk",
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}
GGUF_POST_NORMS = {"attention_post_norm": "post_attention_norm", "feed_forward_post_norm": "post_ffw_norm"}
GGUF_FIELDS = {
    "n_embd": Field("embedding_length"),
    "n_head": Field("attention.head_count"),
    "head_width": Field("attention.key_length", width_by_heads, copies=("attention.value_length",)),
    "context_length": Field("context_length"),
    "n_layer": Field("block_count"),
    "n_kv_head": Field("attention.head_count_kv", heads),
    "n_inner": Field("feed_forward_length"),
    "norm_eps": Field("attention.layer_norm_rms_epsilon"),
    "rotary_base": Field("rope.freq_base", 10_000.0),
}

MODERN_SETTINGS = {
    "norm": "rmsnorm",
    "norm_eps": 1e-6,
    "position": "rotary",
    "feed_forward": "swiglu",
    "qk_norm": True,
    "qkv_bias": False,
    "bias": False,
    "head_bias": False,
    "scale_by": "head_width",
}
LLAMA_SETTINGS = {**MODERN_SETTINGS, "norm_eps": 1e-5, "qk_norm": False}
LLAMA_GGUF = GGUF("llama", GGUF_FIELDS, GGUF_NAMES, permuted=True)
