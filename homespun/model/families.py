"""The families of models: all that is particular to one stands in its value here. Needs no torch.

A family is settings of the one model that gpt.py computes, and what other people's files call such a model: the
fields of Hugging Face's config.json, the settings of a GGUF file, the names and the order of the weights. A family
that needs no new arithmetic is one more value: here, or in opened_families.py where it is not trained from
scratch. No file asks which family it has before it (a test): it asks the family for what it wants to know.
"""

from __future__ import annotations

from homespun.model.family import GGUF, Choice, Family, Field, HuggingFace
from homespun.model.family_words import (
    GGUF_FIELDS,
    GGUF_NAMES,
    LLAMA_FIELDS,
    LLAMA_GGUF,
    LLAMA_NAMES,
    LLAMA_SETTINGS,
    LLAMA_WRITTEN,
    MODERN_SETTINGS,
    QWEN_WINDOWS,
    SILU,
    four_times_wider,
)
from homespun.model.opened_families import OPENED

# The lecture's way to train: AdamW at a constant rate.
LECTURE_RECIPE = {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup_steps": 0,
    "decay": 0.0,
    "clip": 0.0,
}

# The shape of Qwen3 (arXiv 2505.09388): opens there without code of ours.
MODERN = Family(
    name="modern",
    label="the shape of Qwen3",
    settings=MODERN_SETTINGS,
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
        written={**LLAMA_WRITTEN, "attention_bias": False},
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
        windows=QWEN_WINDOWS,
    ),
    gguf=GGUF("qwen3", GGUF_FIELDS, GGUF_NAMES, ollama_engine=True),
)

# Llama (arXiv 2302.13971): modern without the normalised queries and keys.
LLAMA = Family(
    name="llama",
    label="the shape of Llama",
    settings=LLAMA_SETTINGS,
    loss_factor=1.005,
    hugging_face=HuggingFace(
        model_type="llama",
        architecture="LlamaForCausalLM",
        old_names=("LLaMAForCausalLM",),
        default_ids=(1, 2),
        fields=LLAMA_FIELDS,
        names=LLAMA_NAMES,
        outer_name="model.",
        written={**LLAMA_WRITTEN, "attention_bias": False, "mlp_bias": False},
        accepted={
            "hidden_act": SILU,
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "use_sliding_window": (False,),
        },
        whole_heads=True,
    ),
    gguf=LLAMA_GGUF,
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
        written=LLAMA_WRITTEN,
        accepted={"hidden_act": SILU, "mlp_bias": (False,)},
        whole_heads=True,
        windows=QWEN_WINDOWS,
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

# Those of GPTConfig, in the order in which they are offered; with the table; and all that --model takes.
FAMILIES: dict[str, Family] = {family.name: family for family in (MODERN, LLAMA, QWEN2, GPT2, LECTURE, *OPENED)}
MODELS: dict[str, Family] = {**FAMILIES, BIGRAM.name: BIGRAM}
TRAINED: dict[str, Family] = {name: family for name, family in MODELS.items() if family.trained}
DEFAULT = MODERN.name

# Classes that people ask for and that do not open, by the name that folders and GGUF files have in common, with
# what of them is not computed here.
NOT_OPENED = {
    "lfm2": (
        "most of its layers are short convolutions. These carry a state from token to token, and what is kept of "
        "a text here are keys and values, in blocks that texts share"
    ),
    "qwen3_5": "three of four layers carry a state from token to token (Gated DeltaNet)",
    "gemma2": "it limits its scores and logits by a tanh (soft-capping)",
    "gemma3": "it takes images, too. The models without are gemma3_text: 270M and 1B",
    "qwen3_moe": "its feed-forward layers are experts, of which each token takes a few",
    "mixtral": "its feed-forward layers are experts, of which each token takes a few",
}


def why_not(kind: object) -> str:
    """What follows a refusal of that kind of model: a sentence, or nothing where nothing is known of it."""
    reason = NOT_OPENED.get(kind) if isinstance(kind, str) else None
    return f"\nIt is known, and not computed: {reason}." if reason else ""
