"""The families of models: all that is particular to one stands in its value here. Needs no torch.

A family is settings of the one model that gpt.py computes, and what other people's files call such a model: the
fields of Hugging Face's config.json, the settings of a GGUF file, the names and the order of the weights. A family
that needs no new arithmetic is one more value in this file. No other file asks which family it has before it
(a test): it asks the family for what it wants to know.
"""

from __future__ import annotations

from homespun.model.family import GGUF, Alias, Choice, Family, Field, Found, HuggingFace

# ---- what families share ----


def heads(found: Found) -> int:
    """As many keys and values as queries."""
    n_head: int = found["n_head"]
    return n_head


def width_by_heads(found: Found) -> int:
    return max(1, found["n_embd"] // found["n_head"])


def four_times_wider(found: Found) -> int:
    return 4 * int(found["n_embd"])


# The lecture's way to train: AdamW at a constant rate.
LECTURE_RECIPE = {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 0,
    "decay": 0.0,
    "clip": 0.0,
}

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
GGUF_FIELDS = {
    "n_embd": Field("embedding_length"),
    "n_head": Field("attention.head_count"),
    "head_width": Field(
        "attention.key_length", width_by_heads, copies=("attention.value_length", "rope.dimension_count")
    ),
    "context_length": Field("context_length"),
    "n_layer": Field("block_count"),
    "n_kv_head": Field("attention.head_count_kv", heads),
    "n_inner": Field("feed_forward_length"),
    "norm_eps": Field("attention.layer_norm_rms_epsilon"),
    "rotary_base": Field("rope.freq_base", 10_000.0),
}

# ---- the families ----

# The shape of Qwen3 (arXiv 2505.09388): opens there without code of ours.
MODERN = Family(
    name="modern",
    label="the shape of Qwen3",
    settings={
        "norm": "rmsnorm",
        "norm_eps": 1e-6,
        "position": "rotary",
        "feed_forward": "swiglu",
        "qk_norm": True,
        "qkv_bias": False,
        "bias": False,
        "head_bias": False,
        "scale_by": "head_width",
    },
    hugging_face=HuggingFace(
        model_type="qwen3",
        architecture="Qwen3ForCausalLM",
        fields={
            **LLAMA_FIELDS,
            "n_kv_head": Field("num_key_value_heads"),
            "head_width": Field("head_dim", 128),
        },
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, "use_sliding_window": False},
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    ),
    gguf=GGUF("qwen3", GGUF_FIELDS, GGUF_NAMES, ollama_engine=True),
)

# Llama (arXiv 2302.13971): modern without the normalised queries and keys.
LLAMA = Family(
    name="llama",
    label="the shape of Llama",
    settings={**MODERN.settings, "norm_eps": 1e-5, "qk_norm": False},
    loss_factor=1.005,
    hugging_face=HuggingFace(
        model_type="llama",
        architecture="LlamaForCausalLM",
        old_names=("LLaMAForCausalLM",),
        # Mistral (arXiv 2310.06825) is Llama with a window of attention, which later versions gave up.
        aliases={"mistral": Alias("MistralForCausalLM", window=4096)},
        default_ids=(1, 2),
        fields=LLAMA_FIELDS,
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, "mlp_bias": False},
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
        whole_heads=True,
    ),
    gguf=GGUF("llama", GGUF_FIELDS, GGUF_NAMES, permuted=True),
)

# Qwen2 and Qwen2.5 (arXiv 2407.10671): Llama with a bias on queries, keys and values.
QWEN2 = Family(
    name="qwen2",
    label="the shape of Qwen2",
    settings={**LLAMA.settings, "norm_eps": 1e-6, "qkv_bias": True},
    loss_factor=LLAMA.loss_factor,  # not measured
    hugging_face=HuggingFace(
        model_type="qwen2",
        architecture="Qwen2ForCausalLM",
        fields={**LLAMA_FIELDS, "n_kv_head": Field("num_key_value_heads")},
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "use_sliding_window": False},
        accepted={"hidden_act": SILU, "mlp_bias": (False,)},
        whole_heads=True,
    ),
    gguf=GGUF("qwen2", GGUF_FIELDS, GGUF_NAMES),
)

# GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners").
GPT2 = Family(
    name="gpt2",
    label="the shape of GPT-2",
    settings={
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "position": "learned",
        "feed_forward": "gelu",
        "qk_norm": False,
        "qkv_bias": True,
        "bias": True,
        "head_bias": False,
        "scale_by": "head_width",
    },
    ties_head=True,
    drops_whole=False,
    drops_embedding=True,
    loss_factor=1.035,
    hugging_face=HuggingFace(
        model_type="gpt2",
        architecture="GPT2LMHeadModel",
        default_ids=(50256,),
        fields={
            "n_embd": Field("n_embd", others=("hidden_size",)),
            "vocab_size": Field("vocab_size"),
            "context_length": Field("n_positions", others=("n_ctx", "max_position_embeddings")),
            "n_layer": Field("n_layer", others=("num_hidden_layers",)),
            "n_head": Field("n_head", others=("num_attention_heads",)),
            "n_inner": Field("n_inner", four_times_wider),
            "norm_eps": Field("layer_norm_epsilon", 1e-5),
            "dropout": Field("resid_pdrop", 0.1, copies=("embd_pdrop", "attn_pdrop")),
            "tied_head": Field("tie_word_embeddings", True),
        },
        names={
            "token_embedding": "transformer.wte",
            "position_embedding": "transformer.wpe",
            "final_norm": "transformer.ln_f",
            "head": "lm_head",
            "blocks": "transformer.h",
            "attention_norm": "ln_1",
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "attn.c_attn"),
            "attention.output": "attn.c_proj",
            "feed_forward_norm": "ln_2",
            "feed_forward.up": "mlp.c_fc",
            "feed_forward.down": "mlp.c_proj",
        },
        written={"initializer_range": 0.02, "use_cache": True},
        choices={
            "feed_forward": Choice(
                "activation_function", {"gelu": ("gelu_new", "gelu_pytorch_tanh"), "gelu_exact": ("gelu",)}
            )
        },
        accepted={
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
        transposed=("c_attn.weight", "c_proj.weight", "c_fc.weight"),
        outer_name="transformer.",
    ),
    gguf=GGUF(
        "gpt2",
        fields={
            "n_embd": Field("embedding_length"),
            "context_length": Field("context_length"),
            "n_layer": Field("block_count"),
            "n_head": Field("attention.head_count"),
            "n_inner": Field("feed_forward_length", four_times_wider),
            "norm_eps": Field("attention.layer_norm_epsilon"),
        },
        names={
            **GGUF_NAMES,
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "attn_qkv"),
        },
        pretokenizer="gpt-2",  # the files of GPT-2 itself are older than the setting
    ),
)

# The lecture's model to the letter. It scales the scores by the width of the
# *input*, not of the head: a quirk that is kept, because its numbers depend on it.
LECTURE = Family(
    name="lecture",
    settings={
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "position": "learned",
        "feed_forward": "relu",
        "qk_norm": False,
        "qkv_bias": False,
        "bias": True,
        "head_bias": True,
        "scale_by": "n_embd",
    },
    ties_head=False,
    drops_whole=False,
    shrinks_branches=False,
    planned=False,
    recipe=LECTURE_RECIPE,
)

# No transformer: the next token from the last one alone (bigram.py).
BIGRAM = Family(
    name="bigram",
    is_table=True,
    ties_head=False,
    planned=False,
    recipe=LECTURE_RECIPE,
    tuning_recipe={"learning_rate": 1e-2},
)

# Those of GPTConfig, in the order in which they are offered; and all that --model takes.
FAMILIES: dict[str, Family] = {family.name: family for family in (MODERN, LLAMA, QWEN2, GPT2, LECTURE)}
MODELS: dict[str, Family] = {**FAMILIES, BIGRAM.name: BIGRAM}
DEFAULT = MODERN.name
