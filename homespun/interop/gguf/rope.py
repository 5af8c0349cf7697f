"""Changed rotary frequencies in a GGUF file: settings for the plain ways, and tensors with a number for each pair.

Llama 3's way has no settings there. Its file holds what each frequency is divided by, from which the numbers of
the way are found again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from homespun.checkpoint.fields import Fields
from homespun.errors import CheckpointError, ModelError
from homespun.interop.gguf.file import GGUFFile
from homespun.interop.gguf.tensor import read_tensor
from homespun.model.config import LIMITS, GPTConfig
from homespun.model.rope_scaling import RopeScaling

FREQUENCIES = "rope_freqs.weight"
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"
SCALING = "rope.scaling"
ROTATED = "rope.dimension_count"
BOUNDS = (1e-6, 1e6)
# Llama 3's are 1, 4 and 8,192 in all that there are; the factor is 8 or 32, and the largest number in the file.
LLAMA_3 = RopeScaling("llama3", original_context=8192, low=1.0, high=4.0)
AS_STORED = 1e-4


def read_rope_scaling(
    fields: Fields, file: GGUFFile, prefix: str, found: Mapping[str, Any], *, permuted: bool
) -> dict[str, Any]:
    """`rotary_width` and, where there is one, `rope_scaling`. found: what was read of the model so far.

    Raises CheckpointError for another way.
    """
    head_width = found.get("head_width", max(1, found["n_embd"] // found["n_head"]))
    width = fields.whole(f"{prefix}{ROTATED}", 2, head_width, head_width)
    if permuted:  # neighbours are pairs in such a file, and its order is known for whole heads only
        fields.one_of(f"{prefix}{ROTATED}", (head_width,), head_width)
    return {"rotary_width": width, **scaling_of(fields, file, prefix, found, width)}


def scaling_of(
    fields: Fields, file: GGUFFile, prefix: str, found: Mapping[str, Any], width: int
) -> dict[str, Any]:
    fields.one_of(f"{prefix}rope.scale_linear", (1.0,), 1.0)
    if LONG in file.tensors or SHORT in file.tensors:
        return {"rope_scaling": longrope(fields, file, prefix, found["context_length"])}
    if FREQUENCIES in file.tensors:
        return {"rope_scaling": llama3(file, found["rotary_base"], width)}
    kind = fields.one_of(f"{prefix}{SCALING}.type", ("none", "linear", "yarn"), "none")
    if kind == "none":
        return {}
    factor = fields.number(f"{prefix}{SCALING}.factor", *BOUNDS)
    if kind == "linear":
        return {"rope_scaling": RopeScaling(kind, factor=factor)}
    for name in ("attn_factor", "yarn_ext_factor", "yarn_attn_factor"):
        fields.one_of(f"{prefix}{SCALING}.{name}", (1.0,), 1.0)
    return {
        "rope_scaling": RopeScaling(
            kind,
            factor=factor,
            original_context=original_context(fields, prefix, found["context_length"]),
            beta_fast=fields.number(f"{prefix}{SCALING}.yarn_beta_fast", *BOUNDS, 32.0),
            beta_slow=fields.number(f"{prefix}{SCALING}.yarn_beta_slow", *BOUNDS, 1.0),
            attention_factor=usual_attention_factor(factor),
        )
    }


def original_context(fields: Fields, prefix: str, context_length: int) -> int:
    return fields.whole(f"{prefix}{SCALING}.original_context_length", 1, LIMITS["context_length"], context_length)


def usual_attention_factor(factor: float) -> float:
    """What yarn multiplies cosines and sines with in llama.cpp."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0


def longrope(fields: Fields, file: GGUFFile, prefix: str, context_length: int) -> RopeScaling:
    long, short = ([round(one, 7) for one in numbers_of(file, name)] for name in (LONG, SHORT))
    original = original_context(fields, prefix, context_length)
    return RopeScaling(
        "longrope",
        factor=context_length / original,
        original_context=original,
        attention_factor=round(fields.number(f"{prefix}{SCALING}.attn_factor", *BOUNDS, 1.0), 7),
        short=tuple(short),
        long=tuple(long),
        full_context=context_length,
    )


def llama3(file: GGUFFile, base: float, width: int) -> RopeScaling:
    stored = numbers_of(file, FREQUENCIES)
    frequencies = [base ** -(2 * index / width) for index in range(width // 2)]
    found = RopeScaling("llama3", round(max(stored), 5), LLAMA_3.original_context, LLAMA_3.low, LLAMA_3.high)
    expected = found.dividers(frequencies, base)
    if len(stored) != len(expected) or any(
        abs(a - b) > AS_STORED * b for a, b in zip(stored, expected, strict=True)
    ):
        raise CheckpointError(
            f"{file.path}: {FREQUENCIES} changes the rotary positions in another way than Llama 3 does.",
            "Take the folder of that model, with config.json and .safetensors.",
        )
    return found


def numbers_of(file: GGUFFile, name: str) -> list[float]:
    tensor = file.tensors.get(name)
    if tensor is None or len(tensor.shape) != 1 or tensor.shape[0] > LIMITS["head_width"]:
        raise CheckpointError(f"{file.path} has no list of numbers {name}.", "Get the file again.")
    return [float(one) for one in read_tensor(file, tensor).float()]


def rope_settings(config: GPTConfig, prefix: str) -> dict[str, Any]:
    """What the file says of the scaling. Raises ModelError where llama.cpp has no such way."""
    if config.position != "rotary":
        return {}
    return {f"{prefix}{ROTATED}": config.rotary, **scaling_settings(config.rope_scaling, prefix)}


def scaling_settings(scaling: RopeScaling | None, prefix: str) -> dict[str, Any]:
    if scaling is None or scaling.kind in ("dynamic", "llama3"):
        return {}  # the one changes nothing up to the context, the other is a tensor
    prefix = f"{prefix}{SCALING}."
    if scaling.kind == "linear":
        return {f"{prefix}type": "linear", f"{prefix}factor": scaling.factor}
    original = {f"{prefix}original_context_length": scaling.original_context}
    if scaling.kind == "longrope":
        return {f"{prefix}attn_factor": scaling.attention_factor, **original}
    usual = RopeScaling("yarn", original_context=scaling.original_context, factor=scaling.factor)
    size = usual_attention_factor(scaling.factor)
    if abs(scaling.attention_factor - size) > 1e-6 or not scaling.truncated:
        raise ModelError(
            "llama.cpp computes yarn with the usual attention_factor and whole indices only.",
            "Export it with --to merged.",
        )
    betas = {f"{prefix}yarn_{name}": getattr(scaling, name) for name in ("beta_fast", "beta_slow")}
    told = {name: value for name, value in betas.items() if value != getattr(usual, name.rpartition("yarn_")[2])}
    return {f"{prefix}type": "yarn", f"{prefix}factor": scaling.factor, **original, **told}


def rope_tensors(config: GPTConfig) -> dict[str, Tensor]:
    """The tensors that the file holds for it, by their names there."""
    scaling, width = config.rope_scaling, config.rotary
    if scaling is not None and scaling.kind == "llama3":
        frequencies = [config.rotary_base ** -(2 * index / width) for index in range(width // 2)]
        return {FREQUENCIES: torch.tensor(scaling.dividers(frequencies, config.rotary_base))}
    if scaling is not None and scaling.kind == "longrope":
        return {LONG: torch.tensor(scaling.long), SHORT: torch.tensor(scaling.short)}
    return {}


TENSORS = (FREQUENCIES, LONG, SHORT)
