"""The numbers of a GGUF file in our layout: names, the order of rows, and blocks of few bits back to floats."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from homespun.checkpoint.layout import foreign_name, module_of
from homespun.checkpoint.tensors import check_memory
from homespun.checkpoint.weights import shapes_of
from homespun.errors import CheckpointError
from homespun.interop.gguf.file import GGUFFile
from homespun.interop.gguf.rope import TENSORS
from homespun.interop.gguf.tensor import PLAIN, read_tensor
from homespun.model.config import GPTConfig
from homespun.model.families import FAMILIES
from homespun.model.family import GGUF


def gguf_layout(config: GPTConfig, names: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    """The file's tensors, and which of ours stand in each, one below the other. A tied head is not stored."""
    words = llama_cpp_of(config).names
    parts: dict[str, tuple[str, ...]] = {}
    for name in names:
        if not (name == "head.weight" and config.tied_head):
            foreign = foreign_name(name, words)
            parts[foreign] = (*parts.get(foreign, ()), name)
    order = {name: place for place, name in enumerate(words)}  # of modules that stand in one
    return {
        foreign: tuple(sorted(ours, key=lambda name: order[module_of(name)])) for foreign, ours in parts.items()
    }


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
    known = {*layout, *TENSORS} | ({"output.weight"} if config.tied_head else set())
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


def llama_cpp_of(config: GPTConfig) -> GGUF:
    theirs = FAMILIES[config.family].gguf
    assert theirs is not None, "a file of it was found, or it was said that there can be none"
    return theirs


def is_permuted(name: str, config: GPTConfig) -> bool:
    """llama.cpp turns neighbouring numbers of a head where Llama turns its halves, so its files of Llama's shape
    have the rows of queries and keys in another order; those of other shapes have not.
    """
    return llama_cpp_of(config).permuted and ".attention." in name and name.split(".")[-2] in ("query", "key")


def has_its_one(name: str, config: GPTConfig) -> bool:
    """Whether the weight of a norm is stored with the one that the norm adds to it."""
    return llama_cpp_of(config).plus_one and module_of(name).endswith("norm")


def in_our_order(rows: Tensor, name: str, config: GPTConfig) -> Tensor:
    if has_its_one(name, config):
        return rows.float() - 1.0
    if not is_permuted(name, config):
        return rows
    halves = rows.unflatten(0, (-1, config.head_width // 2, 2))  # (heads, D/2, 2, C)
    return halves.transpose(1, 2).flatten(0, 2)


def in_file_order(rows: Tensor, name: str, config: GPTConfig) -> Tensor:
    if has_its_one(name, config):
        return rows.float() + 1.0
    if not is_permuted(name, config):
        return rows
    neighbours = rows.unflatten(0, (-1, 2, config.head_width // 2))  # (heads, 2, D/2, C)
    return neighbours.transpose(1, 2).flatten(0, 2)
