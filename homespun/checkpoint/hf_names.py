"""Where homespun's names and Hugging Face's meet: config.json and the names of the weights, both ways.

What transformers calls a family and its parts is said by the family (model/families.py). Some have no
counterpart there (the lecture's), and neither has a config that leaves its family's path (a GPT-2 with
shared heads, say). Their folders look the same, with our own names in them, and say that they open with
homespun alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from homespun.checkpoint.fields import NUMBERS, Fields, brief, model_settings
from homespun.errors import CheckpointError, ModelError, warn
from homespun.model.config import LIMITS, GPTConfig, ModelConfig, config_of
from homespun.model.families import FAMILIES, MODELS
from homespun.model.family import Alias, Family, Field, HuggingFace, headless
from homespun.tokenizer.special_ids import SpecialIds

OURS = "homespun-"  # model_type of what opens with homespun alone: homespun-lecture, homespun-bigram
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")  # the same words on both sides
FREE = {"norm_eps"}  # what a family leaves open, and Hugging Face's config has a word for
ROTARY_BASE = {"rotary_base": Field("rope_theta")}


# ---- config: ours -> config.json ----


def to_hf(config: ModelConfig, *, special_ids: SpecialIds, dtype: str) -> dict[str, Any]:
    """What config.json says of a model. special_ids: the ids with a role, as it is to state them."""
    theirs = counterpart(config)
    if theirs is None:
        values = {"architectures": [type(config).__name__.removesuffix("Config")], **ours_to_json(config)}
    else:
        values = theirs_to_json(config, theirs)
    ids = special_ids.to_json()
    if special_ids.pad is None:
        del ids["pad_token_id"]
    # The others are written even where they are null: GPT-2's default, 50256, is no id of a small vocabulary.
    return {**values, **ids, "dtype": dtype}


def counterpart(config: ModelConfig) -> HuggingFace | None:
    """The family in transformers, where that has a model of this very config."""
    return None if only_here(config) else MODELS[config.family].hugging_face


def only_here(config: ModelConfig) -> str:
    """Why transformers has no counterpart for this config; empty where it has one.

    >>> only_here(config_of("bigram", vocab_size=65, context_length=8))
    'transformers has no model like bigram'
    """
    family = MODELS[config.family]
    theirs = family.hugging_face
    if theirs is None:
        return f"transformers has no model like {family.name}"
    assert isinstance(config, GPTConfig)
    shape = theirs.architecture
    for name, usual in family.settings.items():
        free = FREE | {name for name in theirs.choices if getattr(config, name) in theirs.choices[name].values}
        if name not in free and getattr(config, name) != usual:
            return f"{shape} has {name} = {usual!r}, and this model has {getattr(config, name)!r}"
    if "n_kv_head" not in theirs.fields and config.n_kv_head != config.n_head:
        return f"{shape} has keys and values for every head, and this model shares n_kv_head = {config.n_kv_head}"
    if "head_width" not in theirs.fields and config.query_width != config.n_embd:
        return f"{shape} has heads of width n_embd / n_head, and this model of {config.head_width}"
    if theirs.whole_heads and config.n_embd % config.n_head:
        return (
            f"{shape} wants n_embd to be a multiple of n_head, and {config.n_embd} / {config.n_head} is not whole"
        )
    return ""


def theirs_to_json(config: ModelConfig, theirs: HuggingFace) -> dict[str, Any]:
    values: dict[str, Any] = {"architectures": [theirs.architecture], "model_type": theirs.model_type}
    values |= model_settings(config, theirs.fields)
    if is_rotary(MODELS[config.family]):
        base = model_settings(config, ROTARY_BASE)
        # The first is what transformers 5 reads, the second what older readers do.
        values |= {"rope_parameters": {**base, "rope_type": "default"}, **base}
    chosen = {one.name: one.values[getattr(config, ours)][0] for ours, one in theirs.choices.items()}
    return values | chosen | dict(theirs.written)


def ours_to_json(config: ModelConfig) -> dict[str, Any]:
    """Every field by our own name."""
    settings = {name: value for name, value in vars(config).items() if name != "family"}
    about = f"This model opens with homespun alone: {only_here(config)}."
    return {"model_type": OURS + config.family, "about": about, **settings}


def generation_to_hf(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How to sample, in the words of generation_config.json, for settings in our names: max_tokens, temperature,
    top_k, top_p, min_p, repetition_penalty.

    >>> generation_to_hf({"temperature": 0.8, "max_tokens": 200, "top_k": None})
    {'do_sample': True, 'temperature': 0.8, 'max_new_tokens': 200}
    """
    unknown = settings.keys() - {"max_tokens", *SAMPLING}
    assert not unknown, f"Hugging Face has no word for {unknown}"
    sampling = {name: value for name, value in settings.items() if name in SAMPLING and value is not None}
    if sampling.get("temperature") == 0:  # there, greedy decoding is do_sample = false
        sampling = {}
    longest = settings.get("max_tokens")
    return {
        "do_sample": bool(sampling),
        **sampling,
        **({} if longest is None else {"max_new_tokens": longest}),
    }


# ---- config: config.json -> ours ----


def known_model_types() -> dict[str, Family]:
    """Each with the family that it is of."""
    theirs: dict[str, Family] = {}
    for one in FAMILIES.values():
        if one.hugging_face:
            theirs |= dict.fromkeys((one.hugging_face.model_type, *one.hugging_face.aliases), one)
    return {**theirs, **{OURS + name: one for name, one in MODELS.items()}}


def model_type_of(values: dict[str, Any]) -> Any:
    """What config.json says, or, where it is older than that field, what its architecture or its fields say.

    >>> model_type_of({"n_embd": 8, "n_head": 2, "n_layer": 1, "n_ctx": 16, "vocab_size": 5})
    'gpt2'
    """
    if values.get("model_type") is not None:
        return values["model_type"]
    named = values.get("architectures")
    for one in FAMILIES.values():
        theirs = one.hugging_face
        if theirs is None:
            continue
        if named in [[name] for name in (theirs.architecture, headless(theirs.architecture), *theirs.old_names)]:
            return theirs.model_type
        shape = ("n_embd", "n_head", "n_layer", "context_length", "vocab_size")
        fields = [theirs.fields[name] for name in shape]
        if not named and all(any(name in values for name in (field.name, *field.others)) for field in fields):
            return theirs.model_type
    return None


def from_hf(values: dict[str, Any], origin: str) -> ModelConfig:
    """The config that config.json describes; origin is its path, for the messages.

    Raises CheckpointError for another kind of model, for numbers that make no model,
    and for a setting that would change what the model computes and that homespun does not have.
    """
    file = Fields(values, origin)
    shape = model_type_of(values)
    known = known_model_types()
    if not isinstance(shape, str) or shape not in known:
        theirs = [name for name in known if not name.startswith(OURS)]
        raise CheckpointError(
            f"{origin}: model_type is {brief(shape)}, a kind of model that homespun does not have.",
            f"It opens: {', '.join(theirs)}, and homespun's own folders.",
        )
    if values.get("quantization_config") is not None:
        raise CheckpointError(
            f"{origin}: quantization_config says that the weights are quantised, which homespun does not read.",
            "Take the folder of the same model in float32, float16 or bfloat16.",
        )
    try:
        return (
            ours_from_json(file, known[shape])
            if shape.startswith(OURS)
            else theirs_from_json(file, known[shape], shape)
        )
    except ModelError as error:
        raise CheckpointError(f"{origin}: {error.what}", error.todo) from error


def theirs_from_json(file: Fields, family: Family, model_type: str) -> GPTConfig:
    theirs = family.hugging_face
    assert theirs is not None
    alias = theirs.aliases.get(model_type)
    check_architecture(file, (theirs.architecture, *theirs.old_names) if alias is None else (alias.architecture,))
    for name, values in theirs.accepted.items():
        file.one_of(name, values, values[0])
    found = file.model_fields(theirs.fields)
    for ours, choice in theirs.choices.items():
        known = {value: name for name, values in choice.values.items() for value in values}
        found[ours] = known[file.one_of(choice.name, tuple(known), next(iter(known)))]
    if is_rotary(family):
        found["context_length"] = context_within_window(file, found["context_length"], alias)
        found["rotary_base"] = rotary_base(file)
    return GPTConfig.of(family.name, **found)


def is_rotary(family: Family) -> bool:
    return bool(family.settings["position"] == "rotary")


def ours_from_json(file: Fields, family: Family) -> ModelConfig:
    vocab_size, context_length = size(file, "vocab_size"), size(file, "context_length")
    if family.is_table:
        return config_of(family.name, vocab_size=vocab_size, context_length=context_length)
    settings: dict[str, Any] = {}
    for name in family.settings.keys() - FREE:
        choices = {one.settings[name] for one in FAMILIES.values()}  # false and true, or the words that there are
        settings[name] = file.flag(name) if choices <= {False, True} else file.one_of(name, tuple(sorted(choices)))
    settings.update({name: size(file, name) for name in LIMITS})
    settings |= file.model_fields({name: Field(name) for name in ("tied_head", *NUMBERS)})
    return GPTConfig(family=family.name, **settings)


def size(file: Fields, name: str) -> int:
    return file.whole(name, 1, LIMITS[name])


def check_architecture(file: Fields, wanted: tuple[str, ...]) -> None:
    """A classifier has the same model_type and other weights. What AutoModel saved lacks the head at most."""
    named = file.values.get("architectures")
    if named and named not in [[name] for name in (*wanted, *map(headless, wanted))]:
        file.refuse("architectures", named, f'["{wanted[0]}"], a model that says what comes next')


def context_within_window(file: Fields, context_length: int, alias: Alias | None) -> int:
    """The context within which the model attends to every token: the whole, or its window where it has one.

    A window that is as wide as the context is none. Up to a narrower one both compute the same.
    """
    kinds = file.values.get("layer_types")
    window = file.values.get("sliding_window", alias.window if alias else None)
    if alias is not None and kinds is None:
        slides = window is not None
    elif kinds is None:  # then the layers from max_window_layers on have one
        layers = file.whole("num_hidden_layers", 1, LIMITS["n_layer"])
        slides = file.flag("use_sliding_window", False) and file.whole("max_window_layers", 0, 2**31, 28) < layers
    else:
        slides = not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)
    if not slides:
        return context_length
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        file.refuse("sliding_window", window, "attention over the whole context in every layer")
    assert isinstance(window, int), "it was refused otherwise"
    if window < context_length:
        warn(narrower(file.origin, window, context_length))
    return min(window, context_length)


def narrower(origin: str, window: int, context_length: int) -> str:
    """What is said of a model that opens within its window of attention."""
    return (
        f"{origin}: attention is limited to a window of {window:,} tokens, which homespun does not compute; the "
        f"model opens with a context of {window:,} instead of {context_length:,} tokens, where it is the same"
    )


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


def layout(config: ModelConfig, names: Iterable[str]) -> list[Layout]:
    """The file's tensors for the model's: names are those of the model's state_dict, in its order.

    A tied head is not stored: it is the embedding.
    """
    stored = [name for name in names if not (name == "head.weight" and config.tied_head)]
    theirs = counterpart(config)
    if theirs is None:
        return [Layout(name, (name,)) for name in stored]
    parts: dict[str, tuple[str, ...]] = {}
    for name in stored:
        foreign = foreign_name(name, theirs.names)
        parts[foreign] = (*parts.get(foreign, ()), name)
    return [Layout(name, ours, name.endswith(theirs.transposed)) for name, ours in parts.items()]


def foreign_name(name: str, words: Mapping[str, str]) -> str:
    """
    >>> foreign_name("blocks.3.feed_forward.up.weight", {"blocks": "transformer.h", "feed_forward.up": "mlp.c_fc"})
    'transformer.h.3.mlp.c_fc.weight'
    """
    path, kind = name.rsplit(".", 1)  # weight or bias
    if path.startswith("blocks."):
        _, layer, inner = path.split(".", 2)
        return f"{words['blocks']}.{layer}.{words[inner]}.{kind}"
    return f"{words[path]}.{kind}"
