"""Where homespun's names and Hugging Face's meet: config.json and the names of the weights, both ways.

    modern  <->  Qwen3ForCausalLM        llama  <->  LlamaForCausalLM        gpt2  <->  GPT2LMHeadModel

`lecture` and `bigram` have no counterpart in transformers, and neither has a config that
leaves its family's path (a GPT-2 with shared heads, say). Their folders look the same,
with our own names in them, and say that they open with homespun alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from homespun.checkpoint.fields import REQUIRED, Fields, brief
from homespun.errors import CheckpointError, ModelError
from homespun.model.config import FAMILIES, LIMITS, BigramConfig, GPTConfig

SHAPES = {"modern": "qwen3", "llama": "llama", "gpt2": "gpt2"}  # family -> model_type
ARCHITECTURES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM", "gpt2": "GPT2LMHeadModel"}
OURS = "homespun-"  # model_type of what opens with homespun alone: homespun-lecture, homespun-bigram
SAMPLING = ("temperature", "top_k", "top_p", "min_p")  # the same words on both sides
FREE = {"norm_eps"}  # what a family leaves open, and Hugging Face's config has a word for


# ---- config: ours -> config.json ----


def to_hf(config: GPTConfig | BigramConfig, *, end_of_text: int | None, dtype: str) -> dict[str, Any]:
    """What config.json says of a model. end_of_text: the id that stands between documents, where there is one."""
    if isinstance(config, BigramConfig) or only_here(config):
        values = {"architectures": [type(config).__name__.removesuffix("Config")], **ours_to_json(config)}
    elif config.family == "gpt2":
        values = gpt2_to_hf(config)
    else:
        values = llama_to_hf(config)
    return {
        **values,
        # Written even where they are null: GPT-2's default, 50256, is no id of a small vocabulary.
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "dtype": dtype,
    }


def only_here(config: GPTConfig | BigramConfig) -> str:
    """Why transformers has no counterpart for this config; empty where it has one.

    >>> only_here(BigramConfig(vocab_size=65))
    'transformers has no model like bigram'
    """
    if isinstance(config, BigramConfig) or config.family not in SHAPES:
        return f"transformers has no model like {config.family}"
    shape = ARCHITECTURES[SHAPES[config.family]]
    for name, usual in FAMILIES[config.family].items():
        if name not in FREE and getattr(config, name) != usual:
            return f"{shape} has {name} = {usual!r}, and this model has {getattr(config, name)!r}"
    if config.family == "gpt2" and config.n_kv_head != config.n_head:
        return f"{shape} has keys and values for every head, and this model shares n_kv_head = {config.n_kv_head}"
    if config.family == "gpt2" and config.n_head * config.head_width != config.n_embd:
        return f"{shape} has heads of width n_embd / n_head, and this model of {config.head_width}"
    if config.family == "llama" and config.n_embd % config.n_head:
        return (
            f"{shape} wants n_embd to be a multiple of n_head, and {config.n_embd} / {config.n_head} is not whole"
        )
    return ""


def llama_to_hf(config: GPTConfig) -> dict[str, Any]:
    """Qwen3's and Llama's configs say nearly everything in the same words."""
    shape = SHAPES[config.family]
    own = {"use_sliding_window": False} if shape == "qwen3" else {"mlp_bias": False}
    return {
        "architectures": [ARCHITECTURES[shape]],
        "model_type": shape,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "hidden_size": config.n_embd,
        "intermediate_size": config.n_inner,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        # The first is what transformers 5 reads, the second what older readers do.
        "rope_parameters": {"rope_theta": config.rotary_base, "rope_type": "default"},
        "rope_theta": config.rotary_base,
        "attention_bias": False,
        "attention_dropout": config.dropout,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": 0.02,
        "use_cache": True,
        **own,
    }


def gpt2_to_hf(config: GPTConfig) -> dict[str, Any]:
    return {
        "architectures": [ARCHITECTURES["gpt2"]],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.context_length,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_inner": config.n_inner,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": 0.02,
        "use_cache": True,
    }


def ours_to_json(config: GPTConfig | BigramConfig) -> dict[str, Any]:
    """Every field by our own name."""
    settings = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "family"}
    about = f"This model opens with homespun alone: {only_here(config)}."
    return {"model_type": OURS + config.family, "about": about, **settings}


def generation_to_hf(settings: Mapping[str, Any], end_of_text: int | None) -> dict[str, Any]:
    """generation_config.json for settings in our names: max_tokens, temperature, top_k, top_p, min_p.

    >>> generation_to_hf({"temperature": 0.8, "max_tokens": 200, "top_k": None}, None)
    {'do_sample': True, 'temperature': 0.8, 'max_new_tokens': 200}
    """
    unknown = settings.keys() - {"max_tokens", *SAMPLING}
    assert not unknown, f"Hugging Face has no word for {unknown}"
    sampling = {name: value for name, value in settings.items() if name in SAMPLING and value is not None}
    if sampling.get("temperature") == 0:  # there, greedy decoding is do_sample = false
        sampling = {}
    longest = settings.get("max_tokens")
    return {
        **(
            {}
            if end_of_text is None
            else dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end_of_text)
        ),
        "do_sample": bool(sampling),
        **sampling,
        **({} if longest is None else {"max_new_tokens": longest}),
    }


# ---- config: config.json -> ours ----


def from_hf(values: dict[str, Any], origin: str) -> GPTConfig | BigramConfig:
    """The config that config.json describes; origin is its path, for the messages.

    Raises CheckpointError for another kind of model, for numbers that make no model,
    and for a setting that would change what the model computes and that homespun does not have.
    """
    file = Fields(values, origin)
    shape = values.get("model_type")
    known = [*ARCHITECTURES, *(OURS + family for family in ("bigram", *FAMILIES))]
    if not isinstance(shape, str) or shape not in known:
        raise CheckpointError(
            f"{origin}: model_type is {brief(shape)}, a kind of model that homespun does not have.",
            f"It opens: {', '.join(known[:5])}.",
        )
    if values.get("quantization_config") is not None:
        raise CheckpointError(
            f"{origin}: quantization_config says that the weights are quantised, which homespun does not read.",
            "Take the folder of the same model in float32, float16 or bfloat16.",
        )
    try:
        if shape.startswith(OURS):
            return ours_from_json(file, shape.removeprefix(OURS))
        return gpt2_from_hf(file) if shape == "gpt2" else llama_from_hf(file, shape)
    except ModelError as error:
        raise CheckpointError(f"{origin}: {error.what}", error.todo) from error


def llama_from_hf(file: Fields, shape: str) -> GPTConfig:
    check_architecture(file, shape)
    file.one_of("hidden_act", ("silu", "swish"), "silu")
    file.one_of("attention_bias", (False,), False)
    file.one_of("mlp_bias", (False,), False)
    n_head, n_embd = size(file, "num_attention_heads", "n_head"), size(file, "hidden_size", "n_embd")
    context_length = size(file, "max_position_embeddings", "context_length")
    check_window(file, context_length)
    return GPTConfig.of(
        "modern" if shape == "qwen3" else "llama",
        vocab_size=size(file, "vocab_size", "vocab_size"),
        context_length=context_length,
        n_layer=size(file, "num_hidden_layers", "n_layer"),
        n_head=n_head,
        n_kv_head=size(file, "num_key_value_heads", "n_kv_head", n_head if shape == "llama" else REQUIRED),
        n_embd=n_embd,
        n_inner=size(file, "intermediate_size", "n_inner"),
        head_width=size(file, "head_dim", "head_width", max(1, n_embd // n_head) if shape == "llama" else 128),
        norm_eps=file.number("rms_norm_eps", 0.0, 1.0, 1e-6),
        rotary_base=rotary_base(file),
        dropout=file.number("attention_dropout", 0.0, 1.0, 0.0),
        tied_head=file.flag("tie_word_embeddings", False),
    )


def gpt2_from_hf(file: Fields) -> GPTConfig:
    check_architecture(file, "gpt2")
    file.one_of("activation_function", ("gelu_new", "gelu_pytorch_tanh"), "gelu_new")
    file.one_of("scale_attn_weights", (True,), True)
    file.one_of("scale_attn_by_inverse_layer_idx", (False,), False)
    file.one_of("add_cross_attention", (False,), False)
    n_embd = size(file, "n_embd", "n_embd")
    return GPTConfig.of(
        "gpt2",
        vocab_size=size(file, "vocab_size", "vocab_size"),
        context_length=size(file, "n_positions", "context_length"),
        n_layer=size(file, "n_layer", "n_layer"),
        n_head=size(file, "n_head", "n_head"),
        n_embd=n_embd,
        n_inner=size(file, "n_inner", "n_inner", 4 * n_embd),
        norm_eps=file.number("layer_norm_epsilon", 0.0, 1.0, 1e-5),
        dropout=file.number("resid_pdrop", 0.0, 1.0, 0.1),
        tied_head=file.flag("tie_word_embeddings", True),
    )


def ours_from_json(file: Fields, family: str) -> GPTConfig | BigramConfig:
    vocab_size, context_length = (
        size(file, "vocab_size", "vocab_size"),
        size(file, "context_length", "context_length"),
    )
    if family == "bigram":
        return BigramConfig(vocab_size=vocab_size, context_length=context_length)
    settings: dict[str, Any] = {}
    for name in FAMILIES[family].keys() - FREE:
        choices = {usual[name] for usual in FAMILIES.values()}  # false and true, or the words that there are
        settings[name] = file.flag(name) if choices <= {False, True} else file.one_of(name, tuple(sorted(choices)))
    settings.update({name: size(file, name, name) for name in LIMITS})
    settings["norm_eps"] = file.number("norm_eps", 0.0, 1.0)
    settings["tied_head"] = file.flag("tied_head")
    settings["rotary_base"] = file.number("rotary_base", 1.0, 1e12)
    settings["dropout"] = file.number("dropout", 0.0, 1.0)
    return GPTConfig(family=family, **settings)


def size(file: Fields, name: str, ours: str, default: Any = REQUIRED) -> int:
    return file.whole(name, 1, LIMITS[ours], default)


def check_architecture(file: Fields, shape: str) -> None:
    """A classifier has the same model_type and other weights."""
    named = file.values.get("architectures")
    if named and named != [ARCHITECTURES[shape]]:
        file.refuse("architectures", named, f'["{ARCHITECTURES[shape]}"], a model that says what comes next')


def check_window(file: Fields, context_length: int) -> None:
    """A window of attention that is as wide as the context is none."""
    kinds = file.values.get("layer_types")
    if kinds is None:  # then the layers from max_window_layers on have one
        layers = file.whole("num_hidden_layers", 1, LIMITS["n_layer"])
        slides = file.flag("use_sliding_window", False) and file.whole("max_window_layers", 0, 2**31, 28) < layers
    else:
        slides = not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)
    window = file.values.get("sliding_window")
    if slides and (not isinstance(window, int) or window < context_length):
        file.refuse("sliding_window", window, "attention over the whole context in every layer")


def rotary_base(file: Fields) -> float:
    """The base of the rotary angles: rope_parameters.rope_theta in transformers 5, rope_theta in older files."""
    for name in ("rope_parameters", "rope_scaling"):
        settings = file.values.get(name)
        if settings is None:
            continue
        if not isinstance(settings, dict) or any(isinstance(value, dict) for value in settings.values()):
            file.refuse(name, settings, "one rope_type and rope_theta for all layers")
        inner = Fields(settings, f"{file.origin}: {name}")
        inner.one_of("rope_type", ("default",), settings.get("type", "default"))
        inner.one_of("partial_rotary_factor", (1.0, 1), 1.0)
    file.one_of("partial_rotary_factor", (1.0, 1), 1.0)
    older = file.number("rope_theta", 1.0, 1e12, 10_000.0)
    newer = Fields(file.values.get("rope_parameters") or {}, f"{file.origin}: rope_parameters")
    base = newer.number("rope_theta", 1.0, 1e12, older)
    if base != older and "rope_theta" in file.values:
        file.refuse("rope_theta", older, f"{base:g}, which is what rope_parameters says")
    return base


# ---- weights ----


@dataclass(frozen=True)
class Layout:
    """One tensor of the file, and the tensors of our model that it holds.

    Several parts stand one below the other. Transposed: GPT-2's Conv1D keeps (in, out)
    where Linear keeps (out, in).
    """

    name: str
    parts: tuple[str, ...]
    transposed: bool = False


LLAMA = {
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
GPT2 = {
    "token_embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
    "blocks": "transformer.h",
    "attention_norm": "ln_1",
    "attention.query": "attn.c_attn",  # queries, keys and values in one
    "attention.key": "attn.c_attn",
    "attention.value": "attn.c_attn",
    "attention.output": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
# What older files carry beside the weights: the triangle of causal attention, the rotary frequencies.
NOT_WEIGHTS = re.compile(r"(^|\.)h\.\d+\.attn\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$")


def layout(config: GPTConfig | BigramConfig, names: Iterable[str]) -> list[Layout]:
    """The file's tensors for the model's: names are those of the model's state_dict, in its order.

    A tied head is not stored: it is the embedding.
    """
    stored = [name for name in names if not (name == "head.weight" and getattr(config, "tied_head", False))]
    if only_here(config):
        return [Layout(name, (name,)) for name in stored]
    parts: dict[str, tuple[str, ...]] = {}
    for name in stored:
        foreign = foreign_name(name, GPT2 if config.family == "gpt2" else LLAMA)
        parts[foreign] = (*parts.get(foreign, ()), name)
    return [Layout(name, ours, name.endswith(CONV1D)) for name, ours in parts.items()]


CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


def foreign_name(name: str, words: dict[str, str]) -> str:
    """
    >>> foreign_name("blocks.3.feed_forward.up.weight", GPT2)
    'transformer.h.3.mlp.c_fc.weight'
    """
    path, kind = name.rsplit(".", 1)  # weight or bias
    if path.startswith("blocks."):
        _, layer, inner = path.split(".", 2)
        return f"{words['blocks']}.{layer}.{words[inner]}.{kind}"
    return f"{words[path]}.{kind}"


def usual_name(name: str, config: GPTConfig | BigramConfig) -> str:
    """A tensor's name as `layout` has it, for the name that another writer gave it; "" for what is no weight."""
    if only_here(config):
        return name
    if NOT_WEIGHTS.search(name):
        return ""
    if config.family == "gpt2" and not name.startswith(("transformer.", "lm_head.")):
        return f"transformer.{name}"  # the first GPT-2 files were written without their outer name
    return name
