"""Which tensors of a model folder hold which of the model's: names, and the order of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from homespun.checkpoint.hf_names import counterpart
from homespun.model.config import ModelConfig


@dataclass(frozen=True)
class Layout:
    """One tensor of the file, and the tensors of our model that it holds.

    Several parts stand one below the other, or, with `heads`, the first head of each, the second of each, and so
    on (GPT-NeoX). Transposed: GPT-2's Conv1D keeps (in, out) where Linear keeps (out, in).
    """

    name: str
    parts: tuple[str, ...]
    transposed: bool = False
    heads: int = 0

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The rows of the parts as they stand in the file."""
        if self.heads:
            parts = [part.unflatten(0, (self.heads, -1)) for part in parts]
            return torch.cat(list(parts), dim=1).flatten(0, 1)
        return torch.cat(list(parts)) if len(parts) > 1 else parts[0]

    def cut(self, whole: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """The other way round. rows: of each part."""
        if not self.heads:
            return list(whole.split(list(rows)))
        each = whole.unflatten(0, (self.heads, -1)).split([count // self.heads for count in rows], dim=1)
        return [part.flatten(0, 1) for part in each]


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
    order = {name: place for place, name in enumerate(theirs.names)}  # of modules that stand in one
    n_head = config.n_head
    return [
        Layout(
            name,
            tuple(sorted(ours, key=lambda name: order[module_of(name)])) if len(ours) > 1 else ours,
            transposed=name.endswith(theirs.transposed),
            heads=n_head if len(ours) > 1 and name.rpartition(".")[0].endswith(theirs.by_head) else 0,
        )
        for name, ours in parts.items()
    ]


def module_of(name: str) -> str:
    """
    >>> module_of("blocks.3.feed_forward.up.weight"), module_of("head.weight")
    ('feed_forward.up', 'head')
    """
    path = name.rpartition(".")[0]
    return path.split(".", 2)[2] if path.startswith("blocks.") else path


def foreign_name(name: str, words: Mapping[str, str]) -> str:
    """
    >>> foreign_name("blocks.3.feed_forward.up.weight", {"blocks": "transformer.h", "feed_forward.up": "mlp.c_fc"})
    'transformer.h.3.mlp.c_fc.weight'
    """
    kind = name.rpartition(".")[2]  # weight or bias
    foreign = words[module_of(name)]
    return (
        f"{words['blocks']}.{name.split('.')[1]}.{foreign}.{kind}"
        if name.startswith("blocks.")
        else f"{foreign}.{kind}"
    )
