"""The numbers of a GGUF file in our layout: names, the order of rows, and blocks of few bits back to floats."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from homespun.checkpoint.hf_names import foreign_name
from homespun.checkpoint.tensors import check_memory
from homespun.checkpoint.weights import shapes_of
from homespun.errors import CheckpointError
from homespun.interop.gguf.blocks import floats
from homespun.interop.gguf.file import GGUFFile, GGUFTensor
from homespun.model.config import GPTConfig
from homespun.model.families import FAMILIES
from homespun.model.family import GGUF

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def gguf_layout(config: GPTConfig, names: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    """The file's tensors, and which of ours stand in each, one below the other. A tied head is not stored."""
    words = llama_cpp_of(config).names
    parts: dict[str, tuple[str, ...]] = {}
    for name in names:
        if not (name == "head.weight" and config.tied_head):
            foreign = foreign_name(name, words)
            parts[foreign] = (*parts.get(foreign, ()), name)
    return parts


def read_weights(
    file: GGUFFile, config: GPTConfig, *, device: torch.device | str, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """The model's weights by our names. dtype: None keeps the precision that the file has.

    Raises CheckpointError where a tensor is missing, of another shape or too much, or memory is short.
    """
    shapes = shapes_of(config)
    layout = gguf_layout(config, shapes)
    check_tensors(file, config, layout, shapes)
    dtype = dtype or common_dtype(file)
    largest = max(math.prod(tensor.shape) for tensor in file.tensors.values())
    wanted = sum(map(math.prod, shapes.values())) * dtype.itemsize if torch.device(device).type == "cpu" else 0
    check_memory(file.path, wanted + 12 * largest)  # one at a time becomes float32 and is put in order
    weights: dict[str, Tensor] = {}
    for name, parts in layout.items():
        whole = read_tensor(file, file.tensors[name])
        for part, rows in zip(parts, whole.split([shapes[part][0] for part in parts]), strict=True):
            weights[part] = in_our_order(rows, part, config).to(device, dtype, copy=len(parts) > 1).contiguous()
    return weights


def check_tensors(
    file: GGUFFile, config: GPTConfig, layout: Mapping[str, tuple[str, ...]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Every tensor that the settings ask for is there, in its shape, and no other is."""
    known = set(layout) | ({"output.weight"} if config.tied_head else set())
    wrong = []
    for name, parts in layout.items():
        expected = (sum(shapes[part][0] for part in parts), *shapes[parts[0]][1:])
        found = file.tensors.get(name)
        if found is None:
            wrong.append(f"{name} is missing; expected {list(expected)}")
        elif found.shape != expected:
            wrong.append(f"{name} is {list(found.shape)}; expected {list(expected)}")
    wrong += [f"{name[:80]} was not expected" for name in sorted(file.tensors.keys() - known)]
    if wrong:
        more = [f"… and {len(wrong) - 4:,} more"] if len(wrong) > 4 else []
        says = f"{file.path}: the weights are not those of the {config.family} model that its settings describe."
        raise CheckpointError(
            "\n  ".join([says, *wrong[:4], *more]),
            "Take another file of that model, or a model of another kind.",
        )


def common_dtype(file: GGUFFile) -> torch.dtype:
    """What the matrices are stored as; norms and biases are float32 in every file. Float32 for few bits."""
    types = {tensor.type for tensor in file.tensors.values() if len(tensor.shape) > 1}
    return PLAIN.get(types.pop(), torch.float32) if len(types) == 1 else torch.float32


def read_tensor(file: GGUFFile, tensor: GGUFTensor) -> Tensor:
    """One tensor, in the file's order of rows: as it is stored, or as float32 where that is in blocks."""
    # Read and not mapped: a file that is cut short meanwhile is an error then, and no crash.
    stored = np.fromfile(file.path, np.uint8, tensor.bytes, offset=tensor.start)
    if stored.size < tensor.bytes:
        raise CheckpointError(f"{file.path} became shorter while it was read.", "Try again.")
    if tensor.type in PLAIN:
        return torch.from_numpy(stored).view(PLAIN[tensor.type]).view(tensor.shape)
    return floats(torch.from_numpy(stored).view(*tensor.shape[:-1], -1), tensor.type)


def llama_cpp_of(config: GPTConfig) -> GGUF:
    theirs = FAMILIES[config.family].gguf
    assert theirs is not None, "a file of it was found, or it was said that there can be none"
    return theirs


def is_permuted(name: str, config: GPTConfig) -> bool:
    """llama.cpp turns neighbouring numbers of a head where Llama turns its halves, so its files of Llama's shape
    have the rows of queries and keys in another order; those of other shapes have not.
    """
    return llama_cpp_of(config).permuted and ".attention." in name and name.split(".")[-2] in ("query", "key")


def in_our_order(rows: Tensor, name: str, config: GPTConfig) -> Tensor:
    if not is_permuted(name, config):
        return rows
    halves = rows.unflatten(0, (-1, config.head_width // 2, 2))  # (heads, D/2, 2, C)
    return halves.transpose(1, 2).flatten(0, 2)


def in_file_order(rows: Tensor, name: str, config: GPTConfig) -> Tensor:
    if not is_permuted(name, config):
        return rows
    neighbours = rows.unflatten(0, (-1, 2, config.head_width // 2))  # (heads, 2, D/2, C)
    return neighbours.transpose(1, 2).flatten(0, 2)
