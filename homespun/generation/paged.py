"""The paged KV cache, and the context in which the model computes new tokens of many sequences at once.

Keys and values are stored in blocks of 16 tokens (Kwon et al. 2023, arXiv 2309.06180). The model computes the N
new tokens of all sequences as one row (1, N); only attention knows which token belongs to which sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from homespun.generation.adapters import assignment_of
from homespun.generation.kv_blocks import blocks_for
from homespun.kernels.decoding.slots import BLOCK, Slots
from homespun.kernels.exchange import sharing_weights
from homespun.kernels.rounding import with_rounded_weights
from homespun.kernels.select import with_decoding_kernels
from homespun.machine.contention import check_contention
from homespun.model.context import Context
from homespun.model.dot_product import attend_fused
from homespun.model.gpt import GPT


class PagedKVCache:
    """Keys and values (blocks, 16, G, D) of every layer, in the dtype in which the model computes them.

    On a CPU there are only as many blocks as were used so far, doubled whenever they do not suffice: to fill
    gigabytes with zeros takes seconds, and most of the blocks of a long context are never used.
    """

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.used = 1
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def reserve(self, tables: Sequence[Sequence[int]], device: torch.device) -> None:
        """Makes room for the blocks of these tables, when a layer is next stored."""
        needed = 1 + max(map(max, tables), default=0)
        if device.type != "cpu":
            self.used = self.blocks
        elif needed > self.used:
            self.used = min(max(needed, 2 * self.used), self.blocks)

    def store(self, layer: int, k: Tensor, v: Tensor, place: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """k and v (N, G, D) go to their places: blocks (N), and positions within them (N). All of the layer's."""
        before = self.layers.get(layer)
        if before is None or len(before[0]) < self.used:
            shape = (self.used, BLOCK, *k.shape[1:])
            self.layers[layer] = k.new_zeros(shape), v.new_zeros(shape)
            for new, old in zip(self.layers[layer], before or (), strict=False):
                new[: len(old)] = old
        keys, values = self.layers[layer]
        keys[place], values[place] = k, v
        return keys, values


class Paged(Context):
    """Each slot sees its own sequence, up to its own position, in the cache."""

    def __init__(self, cache: PagedKVCache, slots: Slots, device: torch.device) -> None:
        self.cache = cache
        cache.reserve(slots.block_tables, device)
        self.end = max(slots.positions) + 1
        self.position_ids = tensor([slots.positions], device)  # (1, N)
        blocks = [
            slots.block_tables[sequence][position // BLOCK]
            for sequence, position in zip(slots.sequences, slots.positions, strict=True)
        ]
        self.place = tensor(blocks, device), self.position_ids[0] % BLOCK
        self.groups = groups_of(slots, device)

    def positions(self, ids: Tensor) -> Tensor:
        return self.position_ids

    def longest(self, ids: Tensor) -> int:
        return self.end

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        """q (1, N, H, D), k and v (1, N, G, D) -> (1, N, H, D)"""
        keys, values = self.cache.store(layer, k[0], v[0], self.place)
        if len(self.groups) == 1:
            return self.groups[0].attend(q[0], keys, values, scale, window).flatten(0, 1)[None]
        out = torch.empty_like(q)
        for group in self.groups:
            out[0, group.slots] = group.attend(q[0, group.slots], keys, values, scale, window)
        return out


@dataclass
class Group:
    """Sequences that attend together: B of them with T new tokens each, the last of S at most.

    slots   (B, T)
    tables  (B, blocks)
    ends    (B), how many tokens each has by then
    """

    slots: Tensor
    tables: Tensor
    ends: Tensor
    shortest: int
    longest: int

    def __post_init__(self) -> None:
        self.masks: dict[int, Tensor | None] = {}  # by the window of a layer

    def attend(self, q: Tensor, keys: Tensor, values: Tensor, scale: float, window: int) -> Tensor:
        """q (B, T, H, D) or (B · T, H, D); keys and values (blocks, 16, G, D) -> (B, T, H, D)"""
        first = self.first_block(window)
        tables, end = self.tables[:, first:], self.longest - first * BLOCK
        k, v = (
            part[tables].flatten(1, 2)[:, :end].transpose(1, 2)  # (B, G, S, D)
            for part in (keys, values)
        )
        if window not in self.masks:
            self.masks[window] = self.visible(window)
        q = q.reshape(*self.slots.shape, *q.shape[-2:]).transpose(1, 2)  # (B, H, T, D)
        return attend_fused(q, k, v, scale, mask=self.masks[window]).transpose(1, 2)

    def first_block(self, window: int) -> int:
        """The first block that any of the new tokens attends to."""
        return max(self.shortest - self.slots.size(1) + 1 - window, 0) // BLOCK if window else 0

    def visible(self, window: int) -> Tensor | None:
        """(B, 1, T, S) booleans; None where new tokens attend to all before them, and are the last of all."""
        first, new = self.first_block(window) * BLOCK, self.slots.size(1)
        if self.shortest == self.longest and not 0 < window < self.longest:
            return None
        places = torch.arange(first, self.longest, device=self.ends.device)  # (S)
        own = self.ends[:, None] - new + torch.arange(new, device=self.ends.device)  # (B, T)
        mask = places <= own[..., None]
        if window:
            mask &= places > own[..., None] - window
        return mask[:, None]


def groups_of(slots: Slots, device: torch.device) -> list[Group]:
    """All sequences with one new token are one group, each of the others is one of its own."""
    of_sequence: dict[int, list[int]] = {}
    for slot, sequence in enumerate(slots.sequences):
        of_sequence.setdefault(sequence, []).append(slot)
    single = [members for members in of_sequence.values() if len(members) == 1]
    parts = ([single] if single else []) + [[members] for members in of_sequence.values() if len(members) > 1]
    return [group_of(slots, members, device) for members in parts]


def group_of(slots: Slots, members: list[list[int]], device: torch.device) -> Group:
    ends = [slots.positions[of_sequence[-1]] + 1 for of_sequence in members]
    longest = max(ends)
    blocks = blocks_for(longest)
    tables = [slots.block_tables[slots.sequences[of_sequence[0]]][:blocks] for of_sequence in members]
    filled = [table + [table[-1]] * (blocks - len(table)) for table in tables]  # what is filled up is masked
    return Group(tensor(members, device), tensor(filled, device), tensor(ends, device), min(ends), longest)


def tensor(numbers: list[Any], device: torch.device) -> Tensor:
    """int64, on that device; a GPU does not have to be waited for."""
    if device.type == "cuda":
        return torch.tensor(numbers, dtype=torch.int64, pin_memory=True).to(device, non_blocking=True)
    return torch.tensor(numbers, dtype=torch.int64, device=device)


class ModelStep:
    """A decoding step computed by the model itself, on any device, in the dtype of its weights.

    weights: "float32" is the model as it is; otherwise its matrices are rounded. What modules it has does not
    matter: a model with LoRA, or with frozen matrices in four bits, is decoded like any other.
    """

    is_compiled = False

    def __init__(
        self, model: GPT, weights: str, blocks: int, note: Callable[[str], None] = lambda line: None
    ) -> None:
        # A copy of the modules, on the same weights: it is in evaluation mode whatever the model does meanwhile.
        plain = with_rounded_weights(sharing_weights(model), weights).eval()
        self.model = with_decoding_kernels(plain, note)
        self.assignment = assignment_of(self.model)
        self.blocks = blocks
        self.cache = PagedKVCache(blocks)

    @torch.inference_mode()
    def logits(self, slots: Slots) -> Tensor:
        check_contention()
        device = self.model.device
        context = Paged(self.cache, slots, device)
        if self.assignment is not None:
            self.assignment.assign(slots, device)
        x = self.model.features(tensor([slots.ids], device), context)  # (1, N, C)
        wanted = x[0] if len(slots.wanted) == len(slots.ids) else x[0, tensor(slots.wanted, device)]
        logits = self.model.head(wanted).float()
        return logits if device.type == "cuda" else logits.cpu()  # Metal has no float64 to sample in
