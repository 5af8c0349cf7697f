"""Where homespun's names and Hugging Face's meet: config.json, both ways. The weights' names are in layout.py.

What transformers calls a family and its parts is said by the family (model/families.py). Some have no
counterpart there (the lecture's), and neither has a config that leaves its family's path (a GPT-2 with
shared heads, say). Their folders look the same, with our own names in them, and say that they open with
homespun alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from homespun.checkpoint.fields import NUMBERS, Fields, brief, model_settings
from homespun.checkpoint.layer_kinds import kinds_of, layers_to_json, read_layers
from homespun.checkpoint.rope_fields import read_rope, rope_to_json
from homespun.errors import CheckpointError, ModelError
from homespun.model.config import LIMITS, GPTConfig, ModelConfig, config_of
from homespun.model.families import FAMILIES, MODELS, why_not
from homespun.model.family import Family, Field, HuggingFace, headless
from homespun.model.layers import LOCAL, NOPE
from homespun.model.rope_scaling import RopeScaling
from homespun.tokenizer.special_ids import SpecialIds

OURS = "homespun-"  # model_type of what opens with homespun alone: homespun-lecture, homespun-bigram
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")  # the same words on both sides
# Settings with a default that changes nothing.
USUAL = {one.name: one.default for one in fields(GPTConfig) if one.default is not MISSING}
OPTIONAL = USUAL.keys() - {"rotary_base", "dropout"}  # that files of earlier versions do not have


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
    said = expressed(theirs)
    for name, usual in {**USUAL, **family.settings_for(vars(config))}.items():
        if name not in said and getattr(config, name) != usual:
            return f"{shape} has {name} = {usual!r}, and this model has {getattr(config, name)!r}"
    for ours, choice in theirs.choices.items():
        if getattr(config, ours) not in choice.values:
            return f"{shape} has {ours} = {family.settings[ours]!r}, and this model has {getattr(config, ours)!r}"
    kinds = set(kinds_of(config))
    if (LOCAL in kinds and theirs.windows is None) or (NOPE in kinds and theirs.no_rope is None):
        return f"{shape} does not have layers of the kinds that this model has: {', '.join(sorted(kinds))}"
    if theirs.windows is not None and not theirs.windows.listed and len(kinds) > 1:
        return f"{shape} has layers of one kind, and this model has {', '.join(sorted(kinds))}"
    if "n_kv_head" not in theirs.fields and config.n_kv_head != config.n_head:
        return f"{shape} has keys and values for every head, and this model shares n_kv_head = {config.n_kv_head}"
    if "head_width" not in theirs.fields and config.query_width != config.n_embd:
        return f"{shape} has heads of width n_embd / n_head, and this model of {config.head_width}"
    if theirs.whole_heads and config.n_embd % config.n_head:
        return (
            f"{shape} wants n_embd to be a multiple of n_head, and {config.n_embd} / {config.n_head} is not whole"
        )
    return ""


def expressed(theirs: HuggingFace) -> set[str]:
    """The settings that its config has words for."""
    said = {*theirs.fields, *theirs.choices, "rotary_base", "rope_scaling"}
    if theirs.windows is not None or theirs.no_rope is not None:
        said |= {"layers", "window"}
    if theirs.rope.local is not None:
        said.add("local_base")
    return said | {"rotary_width"} if theirs.rope.share is not None else said


def theirs_to_json(config: ModelConfig, theirs: HuggingFace) -> dict[str, Any]:
    values: dict[str, Any] = {"architectures": [theirs.architecture], "model_type": theirs.model_type}
    assert isinstance(config, GPTConfig)
    values |= model_settings(config, theirs.fields)
    if is_rotary(MODELS[config.family]):
        values |= rope_to_json(config, theirs.rope)
    values |= layers_to_json(config, theirs)
    chosen = {one.name: one.values[getattr(config, ours)][0] for ours, one in theirs.choices.items()}
    return values | chosen | dict(theirs.written)


def ours_to_json(config: ModelConfig) -> dict[str, Any]:
    """Every field by our own name."""
    about = f"This model opens with homespun alone: {only_here(config)}."
    return {"model_type": OURS + config.family, "about": about, **settings_to_json(config)}


def settings_to_json(config: ModelConfig) -> dict[str, Any]:
    """Every field but the family, by our own name."""
    settings = {name: value for name, value in vars(config).items() if name != "family"}
    if settings.get("rope_scaling") is not None:
        settings["rope_scaling"] = settings["rope_scaling"].as_json()
    return settings


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
            theirs[one.hugging_face.model_type] = one
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
            f"{origin}: model_type is {brief(shape)}, a kind of model that homespun does not have."
            f"{why_not(shape)}",
            f"It opens: {', '.join(theirs)}, and homespun's own folders.",
        )
    if values.get("quantization_config") is not None:
        raise CheckpointError(
            f"{origin}: quantization_config says that the weights are quantised, which homespun does not read.",
            "Take the folder of the same model in float32, float16 or bfloat16.",
        )
    try:
        return (
            ours_from_json(file, known[shape]) if shape.startswith(OURS) else theirs_from_json(file, known[shape])
        )
    except ModelError as error:
        raise CheckpointError(f"{origin}: {error.what}", error.todo) from error


def theirs_from_json(file: Fields, family: Family) -> GPTConfig:
    theirs = family.hugging_face
    assert theirs is not None
    check_architecture(file, (theirs.architecture, *theirs.old_names))
    for name, values in theirs.accepted.items():
        file.one_of(name, values, values[0])
    found = file.model_fields(theirs.fields)
    for ours, choice in theirs.choices.items():
        known = {value: name for name, values in choice.values.items() for value in values}
        found[ours] = known[file.one_of(choice.name, tuple(known), next(iter(known)))]
    if is_rotary(family):
        found |= read_rope(file, theirs.rope, found)
        found |= without_idle_windows(read_layers(file, theirs, found["n_layer"]), found)
    return GPTConfig.of(family.name, **found)


def without_idle_windows(layers: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The layers that compute the same: a window that is as wide as the context is none, where that is all that
    makes a layer local."""
    idle = layers["window"] >= found["context_length"] and not found.get("local_base")
    return {"layers": USUAL["layers"], "window": 0} if idle else layers


def is_rotary(family: Family) -> bool:
    return bool(family.settings["position"] == "rotary")


def ours_from_json(file: Fields, family: Family) -> ModelConfig:
    vocab_size, context_length = size(file, "vocab_size"), size(file, "context_length")
    if family.is_table:
        return config_of(family.name, vocab_size=vocab_size, context_length=context_length)
    settings: dict[str, Any] = {}
    for name in family.settings.keys() - NUMBERS.keys() - USUAL.keys():
        choices = {one.settings[name] for one in FAMILIES.values()}  # false and true, or the words that there are
        settings[name] = file.flag(name) if choices <= {False, True} else file.one_of(name, tuple(sorted(choices)))
    settings.update({name: size(file, name) for name in LIMITS})
    settings |= file.model_fields({name: Field(name) for name in ("tied_head", *NUMBERS.keys() - OPTIONAL)})
    return GPTConfig(family=family.name, **settings, **other_settings(file, settings))


def other_settings(file: Fields, read: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of our own config that are there beside `read`; files of earlier versions have fewer."""
    found: dict[str, Any] = {}
    for name in USUAL.keys() - read.keys():
        value = file.values.get(name)
        if value is None:
            continue
        if name == "rope_scaling" and isinstance(value, dict):
            found[name] = RopeScaling.of(value)
            continue
        if isinstance(USUAL[name], tuple):
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                file.refuse(name, value, "a list of words")
            value = tuple(value)
        elif type(value) is not type(USUAL[name]):
            file.refuse(name, value, f"a value like {USUAL[name]!r}")
        found[name] = value
    return found


def size(file: Fields, name: str) -> int:
    return file.whole(name, 1, LIMITS[name])


def check_architecture(file: Fields, wanted: tuple[str, ...]) -> None:
    """A classifier has the same model_type and other weights. What AutoModel saved lacks the head at most."""
    named = file.values.get("architectures")
    if named and named not in [[name] for name in (*wanted, *map(headless, wanted))]:
        file.refuse("architectures", named, f'["{wanted[0]}"], a model that says what comes next')
