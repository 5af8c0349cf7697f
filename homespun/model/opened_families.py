"""Families of models that other people train: they are opened and fine-tuned here, not trained from scratch."""

from __future__ import annotations

from homespun.model.family import GGUF, Choice, Family, Field, Found, HuggingFace, NoRope, Rope, Windows
from homespun.model.family_words import (
    GGUF_FIELDS,
    GGUF_NAMES,
    GGUF_POST_NORMS,
    LLAMA_FIELDS,
    LLAMA_GGUF,
    LLAMA_NAMES,
    LLAMA_SETTINGS,
    LLAMA_WRITTEN,
    MODERN_SETTINGS,
    SILU,
    inverse,
    inverse_root,
    inverse_square,
)
from homespun.model.layers import GLOBAL, LOCAL, NOPE

# Their classes have a row for padding where nobody has set one, which may be outside of the vocabulary.
NO_PADDING = {"pad_token_id": None}
WITHOUT_HEAD_WIDTH = {name: field for name, field in LLAMA_FIELDS.items() if name != "head_width"}


def scale_of_heads(found: Found) -> float:
    """What scores are multiplied with where nothing else is said."""
    return inverse_root(int(found["head_width"]))


# Mistral (arXiv 2310.06825): Llama with a window of attention, which later versions gave up. To llama.cpp it is a
# Llama, and it leaves the window out there.
MISTRAL = Family(
    name="mistral",
    label="the shape of Mistral",
    settings=LLAMA_SETTINGS,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="mistral",
        architecture="MistralForCausalLM",
        default_ids=(1, 2),
        fields=LLAMA_FIELDS,
        names=LLAMA_NAMES,
        outer_name="model.",
        written=LLAMA_WRITTEN,
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
        windows=Windows(default=4096, listed=False),
    ),
    gguf=LLAMA_GGUF,
)


def root_of_width(found: Found) -> float:
    return float(found["n_embd"]) ** 0.5


def gemma_scale(found: Found) -> float:
    """Only that of 27 billion weights, the one with 62 layers, has another than the width of a head says."""
    n_embd, n_head, head_width = (int(found[name]) for name in ("n_embd", "n_head", "head_width"))
    return inverse_root(n_embd / n_head if found["n_layer"] == 62 else head_width)


GEMMA_NORMS = {
    "attention_norm": "input_layernorm",
    "attention_post_norm": "post_attention_layernorm",
    "feed_forward_norm": "pre_feedforward_layernorm",
    "feed_forward_post_norm": "post_feedforward_layernorm",
}

# Gemma 3, the text models of it (arXiv 2503.19786): five layers of six attend to a window, and have a rotary base
# of their own. Its larger models see images, too, and are other classes.
GEMMA3 = Family(
    name="gemma3",
    label="the shape of Gemma 3",
    settings={
        **MODERN_SETTINGS,
        "norm": "rmsnorm_plus_one",
        "feed_forward": "geglu",
        "norm_place": "both",
        "embedding_scale": root_of_width,
        "attention_scale": gemma_scale,
        "layers": (LOCAL,) * 5 + (GLOBAL,),
        "window": 512,
        "rotary_base": 1_000_000.0,
        "local_base": 10_000.0,
    },
    ties_head=True,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="gemma3_text",
        architecture="Gemma3ForCausalLM",
        default_ids=(2, 1),
        fields={
            **LLAMA_FIELDS,
            "head_width": Field("head_dim", 256),
            "tied_head": Field("tie_word_embeddings", True),
            "attention_scale": Field("query_pre_attn_scalar", 256.0, read=inverse_root, write=inverse_square),
        },
        names={**LLAMA_NAMES, **GEMMA_NORMS},
        outer_name="model.",
        written={
            "hidden_activation": "gelu_pytorch_tanh",
            "initializer_range": 0.02,
            "use_cache": True,
            **NO_PADDING,
        },
        accepted={
            "hidden_activation": ("gelu_pytorch_tanh",),
            "attention_bias": (False,),
            "use_bidirectional_attention": (False,),
            "final_logit_softcapping": (None,),
            "attn_logit_softcapping": (None,),
        },
        whole_heads=True,
        windows=Windows(default=4096, every=Field("sliding_window_pattern", 6)),
        rope=Rope(base=Field("rope_theta", 1_000_000.0), local=Field("rope_local_base_freq", 10_000.0)),
    ),
    gguf=GGUF(
        "gemma3",
        fields={
            **GGUF_FIELDS,
            "rotary_base": Field("rope.freq_base", 1_000_000.0),
            "local_base": Field("rope.freq_base_swa", 10_000.0),
        },
        names={**GGUF_NAMES, **GGUF_POST_NORMS},
        windows=Windows("attention.sliding_window", every=Field("attention.sliding_window_pattern", 6)),
        plus_one=True,
        fixed={"attention_scale": gemma_scale},
    ),
)

# SmolLM3 (Hugging Face, 2025): Llama, with every fourth layer without rope.
SMOLLM3 = Family(
    name="smollm3",
    label="the shape of SmolLM3",
    settings={**LLAMA_SETTINGS, "norm_eps": 1e-6, "layers": (GLOBAL,) * 3 + (NOPE,), "rotary_base": 2_000_000.0},
    ties_head=True,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="smollm3",
        architecture="SmolLM3ForCausalLM",
        default_ids=(128000, 128001),
        fields={**WITHOUT_HEAD_WIDTH, "tied_head": Field("tie_word_embeddings", True)},
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, "mlp_bias": False, **NO_PADDING},
        accepted={
            "hidden_act": SILU,
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "use_sliding_window": (False,),
        },
        no_rope=NoRope("no_rope_layers", every=Field("no_rope_layer_interval", 4)),
        rope=Rope(base=Field("rope_theta", 2_000_000.0)),
    ),
    # Its own words for the layers do not exist there: it is every fourth.
    gguf=GGUF(
        "smollm3",
        GGUF_FIELDS,
        GGUF_NAMES,
        no_rope=NoRope("no_rope_layers", every=Field("no_rope_layer_interval", 4)),
        permuted=True,
    ),
)

# Granite 3 and 4, the dense ones (IBM, 2024): Llama with four multipliers.
GRANITE = Family(
    name="granite",
    label="the shape of Granite",
    settings={**LLAMA_SETTINGS, "norm_eps": 1e-6},
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="granite",
        architecture="GraniteForCausalLM",
        default_ids=(1, 2),
        fields={
            **WITHOUT_HEAD_WIDTH,
            "embedding_scale": Field("embedding_multiplier", 1.0),
            "attention_scale": Field("attention_multiplier", 1.0),
            "residual_scale": Field("residual_multiplier", 1.0),
            "logit_scale": Field("logits_scaling", 1.0, read=inverse, write=inverse),
        },
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, "mlp_bias": False},
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    ),
    gguf=GGUF(
        "granite",
        {
            **GGUF_FIELDS,
            "embedding_scale": Field("embedding_scale", 1.0),
            "attention_scale": Field("attention.scale", scale_of_heads),
            "residual_scale": Field("residual_scale", 1.0),
            "logit_scale": Field("logit_scale", 1.0, read=inverse, write=inverse),
        },
        GGUF_NAMES,
        permuted=True,
    ),
)

# OLMo 2 (arXiv 2501.00656): what a layer adds is normalised, not what it reads; queries and keys over all heads.
OLMO2 = Family(
    name="olmo2",
    label="the shape of OLMo 2",
    settings={**LLAMA_SETTINGS, "norm_place": "after", "qk_norm": True, "qk_norm_over": "all"},
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="olmo2",
        architecture="Olmo2ForCausalLM",
        fields={**WITHOUT_HEAD_WIDTH, "norm_eps": Field("rms_norm_eps", 1e-5)},
        names={
            **LLAMA_NAMES,
            "attention_post_norm": "post_attention_layernorm",
            "feed_forward_post_norm": "post_feedforward_layernorm",
        },
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, **NO_PADDING},
        accepted={"hidden_act": SILU, "attention_bias": (False,)},
    ),
    gguf=GGUF("olmo2", GGUF_FIELDS, {**GGUF_NAMES, **GGUF_POST_NORMS}),
)

# Phi-3, 3.5 and 4-mini (arXiv 2404.14219): Llama with joined matrices, of which 4-mini rotates three quarters of a
# head.
PHI3 = Family(
    name="phi3",
    label="the shape of Phi-3",
    settings=LLAMA_SETTINGS,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="phi3",
        architecture="Phi3ForCausalLM",
        default_ids=(1, 32000),
        fields={
            **WITHOUT_HEAD_WIDTH,
            "norm_eps": Field("rms_norm_eps", 1e-5),
            "dropout": Field("resid_pdrop", 0.0, copies=("embd_pdrop",)),
        },
        names={
            **LLAMA_NAMES,
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "self_attn.qkv_proj"),
            **dict.fromkeys(("feed_forward.gate", "feed_forward.up"), "mlp.gate_up_proj"),
        },
        outer_name="model.",
        written={**LLAMA_WRITTEN, **NO_PADDING},
        accepted={"hidden_act": SILU, "attention_bias": (False,)},
        windows=Windows(listed=False),
        rope=Rope(share=Field("partial_rotary_factor", 1.0), original="original_max_position_embeddings"),
    ),
    gguf=GGUF(
        "phi3",
        GGUF_FIELDS,
        {
            **GGUF_NAMES,
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "attn_qkv"),
            **dict.fromkeys(("feed_forward.gate", "feed_forward.up"), "ffn_up"),
        },
    ),
)

# GPT-NeoX and Pythia (arXiv 2204.06745, 2304.01373): both layers of a block read the same, a part of a head is
# rotated, and queries, keys and values take turns in one matrix.
NEOX = Family(
    name="neox",
    label="the shape of GPT-NeoX",
    settings={
        **MODERN_SETTINGS,
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "feed_forward": "gelu_exact",
        "qk_norm": False,
        "qkv_bias": True,
        "bias": True,
        "parallel": True,
    },
    ties_head=False,
    drops_whole=False,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="gpt_neox",
        architecture="GPTNeoXForCausalLM",
        default_ids=(0, 2),
        fields={
            **{
                name: LLAMA_FIELDS[name]
                for name in ("n_head", "n_embd", "context_length", "vocab_size", "n_layer")
            },
            "n_inner": LLAMA_FIELDS["n_inner"],
            "norm_eps": Field("layer_norm_eps", 1e-5),
            "dropout": Field("hidden_dropout", 0.0, copies=("attention_dropout",)),
            "tied_head": Field("tie_word_embeddings", False),
            "parallel": Field("use_parallel_residual", True),
        },
        names={
            "token_embedding": "gpt_neox.embed_in",
            "final_norm": "gpt_neox.final_layer_norm",
            "head": "embed_out",
            "blocks": "gpt_neox.layers",
            "attention_norm": "input_layernorm",
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "attention.query_key_value"),
            "attention.output": "attention.dense",
            "feed_forward_norm": "post_attention_layernorm",
            "feed_forward.up": "mlp.dense_h_to_4h",
            "feed_forward.down": "mlp.dense_4h_to_h",
        },
        outer_name="gpt_neox.",
        written={"initializer_range": 0.02, "use_cache": True, "attention_bias": True},
        accepted={"attention_bias": (True,)},
        choices={
            "feed_forward": Choice(
                "hidden_act", {"gelu_exact": ("gelu",), "gelu": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")}
            )
        },
        rope=Rope(base=Field("rotary_emb_base", 10_000.0), share=Field("rotary_pct", 0.25)),
        by_head=("query_key_value",),
    ),
    gguf=GGUF(
        "gptneox",
        fields={
            **{name: GGUF_FIELDS[name] for name in ("n_embd", "n_head", "context_length", "n_layer", "n_inner")},
            "norm_eps": Field("attention.layer_norm_epsilon"),
            "rotary_base": GGUF_FIELDS["rotary_base"],
            "parallel": Field("use_parallel_residual", True),
        },
        names={
            **GGUF_NAMES,
            **dict.fromkeys(("attention.query", "attention.key", "attention.value"), "attn_qkv"),
        },
    ),
)

OPENED = (MISTRAL, GEMMA3, SMOLLM3, GRANITE, OLMO2, PHI3, NEOX)
