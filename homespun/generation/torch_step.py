"""A step in PyTorch: the model's computation for many texts of different lengths at once, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.generation.pages import PAGE
from homespun.kernels.decoding.rows import Rows
from homespun.kernels.decoding.weights import LayerWeights, Matrix, Norm, rounded, weights_of
from homespun.machine.contention import check_contention
from homespun.model.attention import attend_fused
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.model.rotary import rotate


class TorchStep:
    """Computes in float32, with weights rounded to `kind`: this is the plain way, and nothing is gained by int8.

    keys, values (n_layer, pages, 16, G, D)
    """

    is_compiled = False

    def __init__(self, model: GPT, kind: str, pages: int) -> None:
        self.config: GPTConfig = model.config
        self.device = model.device
        self.weights = weights_of(model)
        self.kind = kind
        self.matrices: dict[int, Tensor] = {}
        self.pages = pages
        config = self.config
        shape = (config.n_layer, pages, PAGE, config.n_kv_head, config.head_width)
        self.keys = torch.zeros(shape, device=self.device)
        self.values = torch.zeros(shape, device=self.device)
        self.scale = config.scale

    @torch.inference_mode()
    def logits(self, rows: Rows) -> Tensor:
        check_contention()
        weights = self.weights
        ids, positions = self.tensor(rows.ids), self.tensor(rows.positions)  # (N) both
        x = weights.embedding[ids]  # (N, C)
        if weights.positions is not None:
            x = x + weights.positions[positions]
        angles = None if weights.angles is None else tuple(part[positions][:, None] for part in weights.angles)
        pages = self.tensor(
            [rows.tables[text][at // PAGE] for text, at in zip(rows.texts, rows.positions, strict=True)]
        )
        place = pages, positions % PAGE  # where the keys and values of each row belong
        groups = groups_of(rows, self.device)
        for number, layer in enumerate(weights.layers):
            heads = self.times(self.norm(x, layer.attention_norm), layer.query_key_value)
            mixed = self.attention(heads, number, layer, angles, place, groups)
            x = x + self.times(mixed, layer.output)
            x = x + self.feed_forward(self.norm(x, layer.feed_forward_norm), layer)
        wanted = self.norm(x[self.tensor(rows.wanted)], weights.final_norm)
        return self.times(wanted, weights.head).cpu()

    def attention(
        self,
        heads: Tensor,
        number: int,
        layer: LayerWeights,
        angles: tuple[Tensor, ...] | None,
        place: tuple[Tensor, Tensor],
        groups: list[Group],
    ) -> Tensor:
        """heads (N, (H + 2 G) D) -> (N, H D)"""
        config = self.config
        heads = heads.unflatten(-1, (-1, config.head_width))  # (N, H + 2 G, D)
        q, k, v = heads.split((config.n_head, config.n_kv_head, config.n_kv_head), dim=1)
        if layer.query_norm is not None and layer.key_norm is not None:
            width = (config.head_width,)
            q = F.rms_norm(q, width, layer.query_norm, config.norm_eps)
            k = F.rms_norm(k, width, layer.key_norm, config.norm_eps)
        if angles is not None:
            q, k = rotate(q, *angles), rotate(k, *angles)
        self.keys[number][place], self.values[number][place] = k, v
        out = torch.empty_like(q)
        for group in groups:
            keys, values = (
                part[number][group.tables].flatten(1, 2)[:, : group.longest].transpose(1, 2)  # (B, G, S, D)
                for part in (self.keys, self.values)
            )
            query = q[group.rows].transpose(1, 2)  # (B, H, T, D)
            mixed = attend_with(query, keys, values, group.mask, self.scale)
            out[group.rows] = mixed.transpose(1, 2)
        return out.flatten(1)

    def feed_forward(self, x: Tensor, layer: LayerWeights) -> Tensor:
        up = self.times(x, layer.up)
        if layer.gate is not None:
            return self.times(F.silu(self.times(x, layer.gate)) * up, layer.down)
        bent = F.gelu(up, approximate="tanh") if self.config.feed_forward == "gelu" else F.relu(up)
        return self.times(bent, layer.down)

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        if self.config.norm == "rmsnorm":
            return F.rms_norm(x, norm.weight.shape, norm.weight, self.config.norm_eps)
        return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, self.config.norm_eps)

    def times(self, x: Tensor, matrix: Matrix) -> Tensor:
        weight = matrix.weight
        if self.kind != "float32":
            weight = self.matrices.setdefault(id(matrix), rounded(weight, self.kind))
        return F.linear(x, weight, matrix.bias)

    def tensor(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.int64, device=self.device)


def attend_with(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    if mask is None:
        return attend_fused(q, k, v, scale)
    gqa = q.size(1) != k.size(1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=gqa)


class Group:
    """Texts that attend together: B of them with T new tokens each. rows (B, T), tables (B, pages)."""

    def __init__(self, rows: Tensor, positions: Tensor, tables: Tensor) -> None:
        self.rows = rows
        self.tables = tables
        self.longest = int(positions.max()) + 1  # S
        seen = torch.arange(self.longest, device=rows.device)
        mask = seen <= positions[..., None]  # (B, T, S)
        self.mask = None if bool(mask.all()) else mask[:, None]  # (B, 1, T, S)


def groups_of(rows: Rows, device: torch.device) -> list[Group]:
    """All texts with one new token are one group, each of the others is one of its own."""
    of_text: dict[int, list[int]] = {}
    for row, text in enumerate(rows.texts):
        of_text.setdefault(text, []).append(row)
    single = [members for members in of_text.values() if len(members) == 1]
    parts = ([single] if single else []) + [[members] for members in of_text.values() if len(members) > 1]
    return [group_of(rows, members, device) for members in parts]


def group_of(rows: Rows, members: list[list[int]], device: torch.device) -> Group:
    longest = max(rows.positions[row] for text in members for row in text) + 1
    pages = -(-longest // PAGE)
    tables = [rows.tables[rows.texts[text[0]]][:pages] for text in members]
    filled = [table + [table[-1]] * (pages - len(table)) for table in tables]  # what is filled up is masked
    positions = [[rows.positions[row] for row in text] for text in members]
    return Group(*(torch.tensor(numbers, device=device) for numbers in (members, positions, filled)))
