"""A model as a GGUF file: its settings, its tokenizer, and its numbers in llama.cpp's order and precision.

The header is the format's own library's work. The numbers are written here, one tensor at a time, so that a
second copy of the model never has to fit into memory, and a full disk is an error that says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homespun.checkpoint.fields import model_settings
from homespun.checkpoint.hf_names import only_here
from homespun.errors import MissingExtra, ModelError
from homespun.interop.gguf.config import FAMILY_OF
from homespun.interop.gguf.rope import rope_settings, rope_tensors
from homespun.interop.gguf.weights import gguf_layout, in_file_order, llama_cpp_of
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig, ModelConfig
from homespun.model.families import DEFAULT, MODELS
from homespun.model.layers import LOCAL

# What --quantize takes -> the format's name of the numbers, and its number for such a file.
QUANTIZATIONS = {
    "f32": ("F32", 0),
    "f16": ("F16", 1),
    "bf16": ("BF16", 32),
    "q8_0": ("Q8_0", 7),
    "q5_1": ("Q5_1", 9),
    "q5_0": ("Q5_0", 8),
    "q4_1": ("Q4_1", 3),
    "q4_0": ("Q4_0", 2),
}
QUANTIZATION_VERSION = 2  # of the blocks' layout
WHOLE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
HEAD_OF_FEW_BITS = "Q8_0"  # it decides what is said, and errors in it are not averaged away any more
BLOCK = 32  # numbers of few bits that share a scale
ROWS = 4096  # that become blocks at a time
MOST_OF_F16 = 65504.0


@dataclass(frozen=True)
class Part:
    """A tensor of the file: its name there, which of ours stand in it, one below the other, and its type.

    given: its numbers, where it is none of ours.
    """

    name: str
    ours: tuple[str, ...]
    shape: tuple[int, ...]
    type: str  # "F32", "Q8_0", …
    given: Tensor | None = None


def write_gguf(
    path: Path, model: CausalLM, tokenizer: Mapping[str, Any], general: Mapping[str, Any], quantize: str
) -> None:
    """Writes the model to path, which is not there yet.

    tokenizer, general: the settings `tokenizer.…` and `general.…`. quantize: one of QUANTIZATIONS.
    Raises ModelError where llama.cpp has no such model, MissingExtra, and OSError for a disk that is full.
    """
    config = check_counterpart(model.config)
    weights = model.state_dict()
    parts = list(parts_of(config, weights, quantize))
    number_of_file = QUANTIZATIONS[quantize][1]
    kind = {"general.file_type": number_of_file, "general.quantization_version": QUANTIZATION_VERSION}
    settings = {**general, **kind, **settings_of(config), **tokenizer}
    write_header(path, llama_cpp_of(config).architecture, settings, parts)
    with path.open("ab") as file:
        for part in parts:
            file.write(b"\0" * (-file.tell() % BLOCK))
            for stored in numbers(rows_of(part, weights, config), part):
                file.write(stored.data)
        file.write(b"\0" * (-file.tell() % BLOCK))


def rows_of(part: Part, weights: Mapping[str, Tensor], config: GPTConfig) -> Tensor:
    if part.given is not None:
        return part.given
    return torch.cat([in_file_order(weights[name].detach().cpu(), name, config) for name in part.ours])


def check_counterpart(config: ModelConfig) -> GPTConfig:
    """The config, where llama.cpp has a model like it. Raises ModelError."""
    if MODELS[config.family].gguf is None:
        *others, last = (family.name for family in FAMILY_OF.values())
        raise ModelError(
            f"llama.cpp has no model like {config.family}, so there can be no GGUF file of this one.",
            f"Models of the families {', '.join(others)} and {last} can be exported:  "
            f"homespun train TEXT --model {DEFAULT}",
        )
    if reason := only_here(config):
        raise ModelError(
            f"llama.cpp has no model quite like this one: {reason}.",
            "Export a model whose settings are those of its family.",
        )
    assert isinstance(config, GPTConfig)
    check_settings(config)
    return config


def check_settings(config: GPTConfig) -> None:
    """Raises ModelError where llama.cpp would compute something else than this model."""
    theirs = llama_cpp_of(config)
    for name, value in theirs.fixed.items():
        own, fixed = getattr(config, name), value(vars(config))
        if own != fixed:
            raise ModelError(
                f"llama.cpp computes models of the kind {theirs.architecture} with {name} = {fixed!r}, and this "
                f"one has {own!r}.",
                "Export it with --to merged.",
            )
    if LOCAL in config.layers and theirs.windows is None:
        raise ModelError(
            f"llama.cpp computes models of the kind {theirs.architecture} without the window of {config.window:,} "
            "tokens that this one has.",
            "Export it with --to merged.",
        )


def settings_of(config: GPTConfig) -> dict[str, Any]:
    """The settings of the model itself, by llama.cpp's names."""
    theirs = llama_cpp_of(config)
    shape = f"{theirs.architecture}."
    said = {f"{shape}vocab_size": config.vocab_size, **model_settings(config, theirs.fields, shape)}
    if theirs.windows is not None and LOCAL in config.layers:
        said[shape + theirs.windows.name] = config.window
    if config.rope_scaling is not None and config.rope_scaling.full_context:
        said[shape + theirs.fields["context_length"].name] = config.rope_scaling.full_context
    return said | rope_settings(config, shape)


def parts_of(config: GPTConfig, weights: Mapping[str, Tensor], quantize: str) -> Iterator[Part]:
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = QUANTIZATIONS[quantize][0]
    for name, given in rope_tensors(config).items():
        yield Part(name, (), tuple(given.shape), "F32", given)
    for name, ours in gguf_layout(config, shapes).items():
        shape = (sum(shapes[part][0] for part in ours), *shapes[ours[0]][1:])
        yield Part(name, ours, shape, type_of(name, shape, wanted, tied_head=config.tied_head))


def type_of(name: str, shape: tuple[int, ...], wanted: str, *, tied_head: bool) -> str:
    """How a tensor is written where the file's type is `wanted`.

    Norms and biases are always whole. Rows that blocks do not fill become float16, as llama.cpp has it.

    >>> type_of("blk.0.ffn_up.weight", (1024, 384), "Q4_0", tied_head=False)
    'Q4_0'
    >>> type_of("output.weight", (65, 384), "Q4_0", tied_head=False)
    'Q8_0'
    """
    if len(shape) < 2:
        return "F32"
    if wanted in WHOLE:
        return wanted
    if name == "position_embd.weight":
        return "F32"
    if shape[-1] % BLOCK:
        return "F16"
    is_head = name == "output.weight" or (tied_head and name == "token_embd.weight")
    return HEAD_OF_FEW_BITS if is_head else wanted


def add_settings(writer: Any, settings: Mapping[str, Any]) -> None:
    """Each as the type that its value in Python stands for."""
    for name, value in settings.items():
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        else:
            writer.add_array(name, value)


def write_header(path: Path, architecture: str, settings: Mapping[str, Any], parts: list[Part]) -> None:
    """Everything before the numbers: settings, and of each tensor its name, shape, type and place."""
    gguf = library()
    writer = gguf.GGUFWriter(path, architecture)
    add_settings(writer, settings)
    for part in parts:
        kind = gguf.GGMLQuantizationType[part.type]
        writer.add_tensor_info(part.name, part.shape, np.dtype(np.float32), bytes_of(part), raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
    finally:
        writer.close()


def bytes_of(part: Part) -> int:
    block, width = library().GGML_QUANT_SIZES[library().GGMLQuantizationType[part.type]]
    return math.prod(part.shape) // block * width


def numbers(rows: Tensor, part: Part) -> Iterator[np.ndarray]:
    """A tensor as bytes, some of its rows at a time."""
    if part.type in WHOLE:
        if part.type == "F16" and rows.abs().max() > MOST_OF_F16:
            raise ModelError(
                f"A weight of {part.name} is {rows.abs().max():,.0f}, and float16 ends at {MOST_OF_F16:,.0f}.",
                "Export with --quantize bf16 or f32.",
            )
        yield rows.to(WHOLE[part.type]).contiguous().view(-1).view(torch.uint8).numpy()
        return
    gguf = library()
    with np.errstate(all="ignore"):  # a block of zeros has no scale
        for some in rows.float().split(ROWS):
            yield gguf.quants.quantize(some.contiguous().numpy(), gguf.GGMLQuantizationType[part.type])


def library() -> Any:
    try:
        import gguf
        import gguf.quants
    except ImportError as error:
        raise MissingExtra("To write a GGUF file", "gguf") from error
    logging.getLogger("gguf").setLevel(logging.WARNING)
    return gguf
