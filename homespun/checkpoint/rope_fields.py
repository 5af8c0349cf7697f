"""The settings of rotary positions in config.json: both ways.

transformers 5 has all of them in rope_parameters; older files have the base beside rope_scaling, which says how
the frequencies are changed. A scaling that we do not have is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from homespun.checkpoint.fields import NUMBERS, Fields
from homespun.checkpoint.layer_kinds import NAMES
from homespun.errors import warn
from homespun.model.config import LIMITS, GPTConfig
from homespun.model.family import Field, Rope
from homespun.model.layers import GLOBAL, LOCAL
from homespun.model.rope_scaling import KINDS, RopeScaling

PLAIN = "default"
SHARE = "partial_rotary_factor"
OLDER_NAMES = {"su": "longrope"}
PLACES = ("rope_parameters", "rope_scaling")  # the newer one first
BOUNDS = (1e-6, 1e6)
MOST_PAIRS = 2**13


def read_rope(file: Fields, rope: Rope, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """`rotary_base`, `rope_scaling`, `local_base` and `rotary_width` where there are such, and the
    `context_length` that the model has with them. sizes: what was read of the model so far.

    Raises CheckpointError.
    """
    settings, of_local = settings_of(file, rope)
    base = base_of(file, settings, rope.base)
    context_length = sizes["context_length"]
    scaling = scaling_of(settings, file, rope, context_length)
    found = {"rotary_base": base, "rope_scaling": scaling, "context_length": context_length}
    if rope.local is not None:
        found["local_base"] = base_of(file, of_local, rope.local)
        of_local.one_of("rope_type", (PLAIN,), PLAIN)
        check_whole(of_local)
    if rope.share is None:
        check_whole(settings)
        check_whole(file)
    else:
        found["rotary_width"] = rotary_width(settings, file, rope.share, sizes)
    return found | within_original_context(found, file.origin)


def within_original_context(found: Mapping[str, Any], origin: str) -> dict[str, int]:
    """The `context_length` of a model with longrope: that of the texts which are rotated in one way."""
    scaling, context_length = found.get("rope_scaling"), found["context_length"]
    if scaling is None or scaling.kind != "longrope" or scaling.original_context >= context_length:
        return {}
    original = scaling.original_context
    warn(
        f"{origin}: longrope rotates texts of more than {original:,} tokens in another way; the model opens with "
        f"a context of {original:,} instead of {context_length:,} tokens, where it is the same"
    )
    return {"context_length": original}


def settings_of(file: Fields, rope: Rope) -> tuple[Fields, Fields]:
    """The settings of most layers and those of local ones, in the newer or the older place."""
    kinds = [NAMES[GLOBAL], NAMES[LOCAL]]
    for name in PLACES:
        found = file.values.get(name)
        if found is None:
            continue
        if rope.local is not None and isinstance(found, dict) and found and found.keys() <= set(kinds):
            parts = [found.get(kind) or {} for kind in kinds]
        else:
            parts = [found, {}]
        if not all(isinstance(part, dict) for part in parts) or any(
            isinstance(value, dict) for part in parts for value in part.values()
        ):
            file.refuse(name, found, "one rope_type and rope_theta for all layers")
        return Fields(parts[0], f"{file.origin}: {name}"), Fields(parts[1], f"{file.origin}: {name}.{kinds[1]}")
    return Fields({}, f"{file.origin}: {PLACES[0]}"), Fields({}, f"{file.origin}: {PLACES[0]}")


def base_of(file: Fields, settings: Fields, field: Field) -> float:
    bounds = NUMBERS["rotary_base"]
    older = file.number(field.name, *bounds, field.default)
    base = settings.number("rope_theta", *bounds, older)
    if base != older and field.name in file.values:
        file.refuse(field.name, older, f"{base:g}, which is what {PLACES[0]} says")
    return base


def check_whole(place: Fields) -> None:
    """Raises CheckpointError where a part of a head is rotated only."""
    place.one_of(SHARE, (1.0, 1), 1.0)


def rotary_width(settings: Fields, file: Fields, field: Field, sizes: Mapping[str, Any]) -> int:
    """How many numbers of a head are rotated: the share of them, rounded down."""
    share = settings.number(SHARE, 0.0, 1.0 + 1e-9, file.number(field.name, 0.0, 1.0 + 1e-9, field.default))
    head_width = sizes.get("head_width", sizes["n_embd"] // sizes["n_head"])
    width = int(head_width * share)
    if width < 2 or width % 2:
        settings.refuse(SHARE, share, f"a share of {head_width} that is even and not 0")
    return width


def share_of(config: GPTConfig) -> float:
    """The share that `rotary_width` takes for the model's width."""
    share = config.rotary / config.head_width
    return share if int(config.head_width * share) == config.rotary else (config.rotary + 0.5) / config.head_width


def scaling_of(settings: Fields, file: Fields, rope: Rope, context_length: int) -> RopeScaling | None:
    said = settings.take("rope_type", settings.values.get("type") or PLAIN)
    kind = OLDER_NAMES.get(said, said) if isinstance(said, str) else said
    if kind == PLAIN:
        return None
    if not isinstance(kind, str) or kind not in KINDS:
        settings.refuse("rope_type", said, ", ".join([PLAIN, *KINDS]))
    if kind in ("linear", "dynamic"):
        return RopeScaling(kind, factor=settings.number("factor", *BOUNDS))
    original = original_context(settings, file, rope, context_length)
    if kind == "llama3":
        return RopeScaling(
            kind,
            factor=settings.number("factor", *BOUNDS),
            original_context=original,
            low=settings.number("low_freq_factor", *BOUNDS),
            high=settings.number("high_freq_factor", *BOUNDS),
        )
    factor = settings.number("factor", *BOUNDS, context_length / original)
    if kind == "yarn":
        return RopeScaling(
            kind,
            factor=factor,
            original_context=original,
            beta_fast=settings.number("beta_fast", *BOUNDS, 32.0),
            beta_slow=settings.number("beta_slow", *BOUNDS, 1.0),
            truncated=settings.flag("truncate", True),
            attention_factor=settings.number("attention_factor", *BOUNDS, yarn_factor(settings, factor)),
        )
    usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 and original > 1 else 1.0
    return RopeScaling(
        kind,
        factor=factor,
        original_context=original,
        attention_factor=settings.number("attention_factor", *BOUNDS, usual),
        short=numbers(settings, "short_factor"),
        long=numbers(settings, "long_factor"),
        full_context=context_length,
    )


def original_context(settings: Fields, file: Fields, rope: Rope, context_length: int) -> int:
    """The length that the scaling starts from. Where it stands outside of the scaling, that counts."""
    name = "original_max_position_embeddings"
    most = LIMITS["context_length"]
    inside = settings.whole(name, 1, most, context_length)
    return file.whole(rope.original, 1, most, inside) if rope.original else inside


def yarn_factor(settings: Fields, factor: float) -> float:
    """What cosines and sines are multiplied with where it is not stated."""

    def grown(by: float) -> float:
        return 0.1 * by * math.log(factor) + 1.0 if factor > 1 else 1.0

    own, all_widths = (settings.number(name, 0.0, 1e3, 0.0) for name in ("mscale", "mscale_all_dim"))
    return grown(own) / grown(all_widths) if own and all_widths else grown(1.0)


def numbers(settings: Fields, name: str) -> tuple[float, ...]:
    values = settings.take(name, None) or []
    sound = isinstance(values, list) and len(values) <= MOST_PAIRS
    if not sound or not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values):
        settings.refuse(name, values, "a number for each pair that is rotated")
    return tuple(map(float, values))


def rope_to_json(config: GPTConfig, rope: Rope) -> dict[str, Any]:
    """What config.json says of rotary positions: for transformers 5, and the base for older readers as well."""
    base = float(config.rotary_base)
    inner = {"rope_theta": base, **scaling_to_json(config.rope_scaling)}
    said: dict[str, Any] = {"rope_parameters": inner, rope.base.name: base}
    if rope.share is not None:
        inner[SHARE] = said[rope.share.name] = share_of(config)
    if rope.local is not None:
        local = {"rope_theta": float(config.local_base), "rope_type": PLAIN}
        said["rope_parameters"] = {NAMES[GLOBAL]: inner, NAMES[LOCAL]: local}
        said[rope.local.name] = local["rope_theta"]
    scaling = config.rope_scaling
    if scaling is None:
        return said
    if rope.original and scaling.original_context:
        said[rope.original] = inner.pop("original_max_position_embeddings")
    if scaling.full_context and config.context_length == scaling.original_context:
        said["max_position_embeddings"] = scaling.full_context
    return said


def scaling_to_json(scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {"rope_type": PLAIN}
    said: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.original_context:
        said["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        said |= {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    if scaling.kind == "yarn":
        said |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncated}
    if scaling.kind in ("yarn", "longrope"):
        said["attention_factor"] = scaling.attention_factor
    if scaling.kind == "longrope":
        said |= {"short_factor": list(scaling.short), "long_factor": list(scaling.long)}
    return said
