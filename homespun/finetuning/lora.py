"""LoRA: a matrix is frozen, and the product of two small trainable matrices is added to it.

y = x Wᵀ + scale · (x Aᵀ) Bᵀ with A (rank, in) and B (out, rank), B zero at the start (Hu et al. 2021,
arXiv 2106.09685). The frozen matrix needs no gradient, no optimizer state, and only the precision of the products.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from homespun.kernels.casts import casts
from homespun.kernels.exchange import exchange
from homespun.machine.memory import release_freed_memory
from homespun.model.gpt import GPT


class LoRALinear(nn.Module):
    """A frozen linear layer (in -> out) with a trainable low-rank change.

    base    the frozen matrix: `weight()` returns it, (out, in), in the dtype of the products
    """

    def __init__(self, base: Frozen, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base
        self.scale = scale
        device = base.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.inputs, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.outputs, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """x (…, in) -> (…, out), in the dtype of the products."""
        return Changed.apply(x, self.lora_A, self.lora_B, self.base, self.scale)


class Frozen:
    """A frozen matrix (out, in), stored unchanged."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.matrix = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.outputs, self.inputs = weight.shape
        self.dtype = weight.dtype
        self.device = weight.device

    def weight(self) -> Tensor:
        return self.matrix

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        return self


class Changed(torch.autograd.Function):
    """x, A, B -> x Wᵀ + scale · (x Aᵀ) Bᵀ. Hand-written backward: it stores only x and x Aᵀ, and W is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, base: Frozen, scale: float) -> Tensor:
        flat = x.detach().flatten(0, -2).to(base.dtype)  # (N, in)
        a, b = a.detach().to(base.dtype), b.detach().to(base.dtype)
        inner = flat @ a.t()  # (N, rank)
        y = F.linear(flat, base.weight(), base.bias)
        y.addmm_(inner, b.t(), alpha=scale)  # (N, out)
        ctx.save_for_backward(flat, inner, a, b)
        ctx.base, ctx.scale, ctx.shape, ctx.dtype = base, scale, x.shape, x.dtype
        return y.view(*x.shape[:-1], base.outputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, inner, a, b = ctx.saved_tensors
        g = gradient.flatten(0, -2).to(flat.dtype)  # (N, out)
        g_inner = (g @ b) * ctx.scale  # (N, rank)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (g @ ctx.base.weight()).addmm_(g_inner, a).view(ctx.shape).to(ctx.dtype)
        return of_x, (g_inner.t() @ flat).float(), (g.t() @ inner).float() * ctx.scale, None, None


def add_lora(model: GPT, *, rank: int, alpha: float, dtype: torch.dtype, four_bits: bool = False) -> None:
    """Add LoRA to every matrix of the blocks, in place; all other parameters of the model are frozen.

    dtype: of products and frozen weights; norms stay float32. four_bits: store the matrices as NF4 (nf4.py).
    A is drawn from torch's random state.
    """
    model.requires_grad_(False)
    freeze_as(model, dtype)
    make = frozen_nf4() if four_bits else Frozen

    def replacement(name: str, module: nn.Module) -> nn.Module | None:
        if not (name.startswith("blocks.") and isinstance(module, nn.Linear)):
            return None
        bias = None if module.bias is None else module.bias.to(dtype)
        return LoRALinear(make(module.weight.to(dtype), bias), rank, alpha / rank)

    exchange(model, replacement)
    if four_bits:
        release_freed_memory()


def frozen_nf4() -> Any:
    from homespun.finetuning.nf4 import FrozenNF4

    return FrozenNF4


def freeze_as(model: GPT, dtype: torch.dtype) -> None:
    """What is multiplied is kept in `dtype`, norms in float32, and the residual stream is float32."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and module.weight.dtype != dtype:
            module.weight.data = module.weight.data.to(dtype)
        elif "norm" in name.rpartition(".")[2]:
            module.float()
    if not model.config.tied_head:
        model.head.to(dtype)
    if model.head.bias is not None:
        model.head.bias.data = model.head.bias.data.to(dtype)
    if dtype != torch.float32:
        exchange(model, casts(dtype))


def lora_parts(model: GPT) -> dict[str, LoRALinear]:
    """The modules with LoRA, by the names of the matrices that they change: `blocks.0.attention.query.weight`."""
    return {f"{name}.weight": module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
