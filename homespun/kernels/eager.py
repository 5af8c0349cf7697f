"""The layers of a block with a backward pass written by hand: the way of a CPU that has no compiler.

PyTorch's own backward pass goes back through a layer operation by operation, and every one of them
reads and writes all numbers of the batch. Here a layer takes a few sequences at a time, forward
and backward, which stay in the processor's cache while everything is done to them that is to be
done; and what is cheap to compute again is not kept. Matrices multiply as before.

The formulas are those of the layers in homespun/model, whose gradients tests hold these to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from homespun.kernels.exchange import InPlaceOf, twin_of
from homespun.model.attention import CausalSelfAttention
from homespun.model.block import Block, FeedForward
from homespun.model.cache import KVCache
from homespun.model.dropout import drop_whole
from homespun.model.gpt import GPT
from homespun.model.norm import RMSNorm

AT_ONCE = 2**19  # numbers of one kind, two megabytes: the quickest of a quarter of it to twice as many


def eager(model: nn.Module) -> nn.Module:
    """What computes the same as the model on the same weights, operation by operation: on a CPU, by hand."""
    on_cpu = all(weight.device.type == "cpu" for weight in model.parameters())
    return by_hand(model) if isinstance(model, GPT) and on_cpu else model


def by_hand(model: GPT) -> GPT:
    """Shares the weights of the model, and computes the same, to rounding."""
    twin = twin_of(model)
    for block in twin.blocks:
        assert isinstance(block, Block)
        if not block.attention.weight_dropout:
            block.attention = AttentionByHand(block.attention)
        if block.feed_forward.gate is not None:
            block.feed_forward = SwiGLUByHand(block.feed_forward)
        for name in ("attention_norm", "feed_forward_norm"):
            norm = getattr(block, name)
            if isinstance(norm, RMSNorm):
                setattr(block, name, NormByHand(norm))
    return twin


class NormByHand(InPlaceOf, RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = Norm.apply(x, self.weight, self.eps)
        return normed


class SwiGLUByHand(InPlaceOf, FeedForward):
    def forward(self, x: Tensor) -> Tensor:
        assert self.gate is not None
        return self.down(SwiGLU.apply(joined(x, self.gate, self.up)))


class AttentionByHand(InPlaceOf, CausalSelfAttention):
    def forward(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if cache is not None or mask is not None:
            return super().forward(x, angles, cache, mask)
        qkv = self.split_heads(joined(x, self.query, self.key, self.value))  # (B, T, H + 2 G, D)
        weights = [norm.weight if isinstance(norm, RMSNorm) else None for norm in (self.query_norm, self.key_norm)]
        eps = self.query_norm.eps if isinstance(self.query_norm, RMSNorm) else 0.0
        how = How(self.key.out_features // self.head_width, self.scale, eps, Rotation.by(angles))
        if self.training and self.value_dropout:
            q, k, v = apart(qkv, how)
            qkv = torch.cat((q, k, drop_whole(v, self.value_dropout, along=-1)), dim=2)
        mixed: Tensor = Attention.apply(qkv, *weights, how)
        return self.output(mixed.flatten(2))


def joined(x: Tensor, *layers: nn.Linear) -> Tensor:
    """What the layers make of x, side by side: one large product is quicker than several small ones."""
    weights: list[Tensor] = [layer.weight for layer in layers]
    biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    return F.linear(x, torch.cat(weights), torch.cat(biases) if biases else None)


class Norm(Function):
    """x (…, C) -> x / sqrt(mean(x²) + eps) * weight, the same shape and dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, sizes = x.new_empty(x.shape), x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)
        for some, made, size in in_parts(x, out, sizes):
            torch.mul(some * inverse_size(some, eps, size), weight, out=made)
        ctx.save_for_backward(x, weight, sizes)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, sizes = ctx.saved_tensors
        dx, d_weight = x.new_empty(x.shape), torch.zeros_like(weight)
        for some, size, d, to in in_parts(x, sizes, gradients[0], dx):
            back_through_norm(d.float(), some * size, size, weight, d_weight, to)
        return dx, d_weight, None


class SwiGLU(Function):
    """gate and up side by side (…, 2 I) -> silu(gate) * up, (…, I)."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        out = both.new_empty(*both.shape[:-1], both.size(-1) // 2)
        for some, made in in_parts(both, out):
            gate, up = some.chunk(2, dim=-1)
            torch.mul(F.silu(gate), up, out=made)
        ctx.save_for_backward(both)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        d_both = both.new_empty(both.shape)
        for some, d, to in in_parts(both, gradients[0], d_both):
            gate, up = some.chunk(2, dim=-1)
            d_gate, d_up = to.chunk(2, dim=-1)
            torch.mul(F.silu(gate), d, out=d_up)
            torch.ops.aten.silu_backward.grad_input(d * up, gate, grad_input=d_gate)
        return d_both


@dataclass(frozen=True)
class Rotation:
    """Turns pairs of numbers: x * cosines + (its halves exchanged) * sines, both (T, D) in float32."""

    cosines: Tensor
    sines: Tensor

    @classmethod
    def by(cls, angles: tuple[Tensor, Tensor] | None) -> Rotation | None:
        """From cosines and sines (T, 1, D/2) as the model has them."""
        if angles is None:
            return None
        cosines, sines = (part.squeeze(-2) for part in angles)
        return cls(torch.cat((cosines, cosines), dim=-1), torch.cat((-sines, sines), dim=-1))

    def turn(self, x: Tensor, out: Tensor) -> None:
        torch.addcmul(x * self.cosines, exchanged(x), self.sines, out=out)

    def turned_back(self, x: Tensor) -> Tensor:
        return torch.addcmul(x * self.cosines, exchanged(x), self.sines, value=-1)


@dataclass(frozen=True)
class How:
    """What attention is told beside tensors. groups: G, of keys and values; eps: of their norms."""

    groups: int
    scale: float
    eps: float
    rotation: Rotation | None


class Attention(Function):
    """Queries, keys and values side by side (B, T, H + 2 G, D) -> what each query takes up, (B, T, H, D).

    query_weight, key_weight: of the norms (D), or None where there are none.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, query_weight: Tensor | None, key_weight: Tensor | None, how: How) -> Tensor:
        q, k, v = apart(qkv, how)
        batch, tokens, heads, width = q.shape
        future = torch.full((tokens, tokens), float("-inf"), dtype=q.dtype, device=q.device).triu_(1)
        shares = q.new_empty(batch, heads, tokens, tokens)
        queries, keys = (x.new_empty(batch, x.size(2), tokens, width) for x in (q, k))
        query_sizes, key_sizes = (torch.empty_like(x[..., :1], dtype=torch.float32) for x in (queries, keys))
        out = q.new_empty(q.shape)
        for part in sequences_at_once(batch, heads, tokens):
            prepare(q[part], query_weight, how, query_sizes[part], queries[part])
            prepare(k[part], key_weight, how, key_sizes[part], keys[part])
            some_keys, values = (flat(of_each_query(x, heads)) for x in (keys[part], v[part].transpose(1, 2)))
            scores = torch.baddbmm(future, flat(queries[part]), some_keys.mT, alpha=how.scale)  # (b·H, T, T)
            share = torch._softmax(scores, -1, False)
            shares[part] = share.view(-1, heads, tokens, tokens)
            out[part] = (share @ values).view(-1, heads, tokens, width).transpose(1, 2)
        ctx.save_for_backward(qkv, query_weight, key_weight, shares, queries, keys, query_sizes, key_sizes)
        ctx.how = how
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        qkv, query_weight, key_weight, shares, queries, keys, query_sizes, key_sizes = ctx.saved_tensors
        how: How = ctx.how
        d_qkv = qkv.new_empty(qkv.shape)
        (q, k, v), (dq, dk, dv) = apart(qkv, how), apart(d_qkv, how)
        batch, tokens, heads, width = q.shape
        weights = query_weight, key_weight
        d_query_weight, d_key_weight = (None if weight is None else torch.zeros_like(weight) for weight in weights)
        for part in sequences_at_once(batch, heads, tokens):
            some_keys, values = (flat(of_each_query(x, heads)) for x in (keys[part], v[part].transpose(1, 2)))
            d, share = flat(gradients[0][part].transpose(1, 2)), flat(shares[part])
            d_scores = torch._softmax_backward_data(d @ values.mT, share, -1, share.dtype).mul_(how.scale)
            found = d_scores @ some_keys, d_scores.mT @ flat(queries[part]), share.mT @ d
            d_queries, *others = (x.view(-1, heads, tokens, width) for x in found)
            d_keys, d_values = (of_each_group(x, how.groups) for x in others)
            dv[part] = d_values.transpose(1, 2)
            dq[part] = unprepared(d_queries, q[part], how, query_weight, d_query_weight, query_sizes[part])
            dk[part] = unprepared(d_keys, k[part], how, key_weight, d_key_weight, key_sizes[part])
        return d_qkv, d_query_weight, d_key_weight, None


def apart(qkv: Tensor, how: How) -> tuple[Tensor, ...]:
    """(B, T, H + 2 G, D) -> (B, T, H, D) and twice (B, T, G, D), none of them copied."""
    return qkv.split((qkv.size(2) - 2 * how.groups, how.groups, how.groups), dim=2)


def prepare(x: Tensor, weight: Tensor | None, how: How, sizes: Tensor, out: Tensor) -> None:
    """Queries or keys (b, T, H, D) are normed and turned: out (b, H, T, D). sizes (b, H, T, 1) are of the norm."""
    x = x.transpose(1, 2).contiguous()
    if weight is not None:
        x = (x * inverse_size(x, how.eps, sizes)).mul_(weight)
    if how.rotation is None:
        out.copy_(x)
    else:
        how.rotation.turn(x, out)


def unprepared(
    d: Tensor, x: Tensor, how: How, weight: Tensor | None, d_weight: Tensor | None, sizes: Tensor
) -> Tensor:
    """The gradient d (b, H, T, D) of what `prepare` makes of x, taken back to x (b, T, H, D); adds to d_weight."""
    d = d.float()
    if how.rotation is not None:
        d = how.rotation.turned_back(d)
    if weight is not None and d_weight is not None:
        d = back_through_norm(d, x.transpose(1, 2).contiguous() * sizes, sizes, weight, d_weight)
    return d.transpose(1, 2)


def inverse_size(x: Tensor, eps: float, out: Tensor) -> Tensor:
    """1 / sqrt(mean(x²) + eps) of every vector: x (…, C) -> out (…, 1), float32."""
    torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32, out=out)
    return out.square_().div_(x.size(-1)).add_(eps).rsqrt_()


def back_through_norm(
    d: Tensor, unit: Tensor, size: Tensor, weight: Tensor, d_weight: Tensor, out: Tensor | None = None
) -> Tensor:
    """The gradient d of unit * weight, taken back to the x of which unit = x * size; adds to d_weight.

    Along x itself nothing of it is left: a longer x comes to the same.
    """
    along = d * unit
    d_weight += along.flatten(0, -2).sum(0)
    along = along @ weight.div(weight.numel())  # (…)
    return torch.mul(torch.addcmul(d * weight, unit, along.unsqueeze(-1), value=-1), size, out=out)


def of_each_query(x: Tensor, heads: int) -> Tensor:
    """Keys or values (b, G, T, D) -> (b, H, T, D): several queries may share one."""
    return x if x.size(1) == heads else x.repeat_interleave(heads // x.size(1), dim=1)


def of_each_group(d: Tensor, groups: int) -> Tensor:
    """(b, H, T, D) -> (b, G, T, D): the gradients of a key that several queries share add up."""
    return d if d.size(1) == groups else d.unflatten(1, (groups, -1)).sum(2)


def exchanged(x: Tensor) -> Tensor:
    """The halves of the last dimension in each other's place."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((second, first), dim=-1)


def flat(x: Tensor) -> Tensor:
    """(b, H, …) -> (b·H, …), for products of batches."""
    return x.reshape(-1, *x.shape[2:])


def in_parts(*tensors: Tensor) -> zip[tuple[Tensor, ...]]:
    """Tensors (…, C) whose other dimensions are equal, a stretch of vectors of each at a time.

    One that is written to has to be contiguous: of another the parts are copies.
    """
    vectors = max(1, AT_ONCE // max(tensor.size(-1) for tensor in tensors))
    return zip(*(tensor.reshape(-1, tensor.size(-1)).split(vectors) for tensor in tensors), strict=True)


def sequences_at_once(batch: int, heads: int, tokens: int) -> list[slice]:
    """Of the batch, so that their scores have AT_ONCE numbers; one at least.

    >>> sequences_at_once(32, 4, 128)[:2]
    [slice(0, 8, None), slice(8, 16, None)]
    """
    some = max(1, AT_ONCE // (heads * tokens**2))
    return [slice(begin, min(begin + some, batch)) for begin in range(0, batch, some)]
