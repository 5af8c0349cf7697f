"""Muon: the momentum of a matrix, made orthogonal, is the step.

The gradient of a weight matrix is nearly of low rank: a few directions get all of the
update. Made orthogonal, every direction gets the same share, and the model learns from
rare things as well as from frequent ones (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon; the scale is that of Liu et al. 2025, arXiv 2502.16982).

All matrices of one shape are kept and orthogonalised as one batch: on a CPU one by
one costs several times as much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# A quintic a x + b x³ + c x⁵ that pulls every singular value between about 0 and 1 to
# about 1 when it is applied five times; the constants are Jordan's.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5

STEP_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for matrices, that is for parameters of two dimensions.

    learning_rate   as one would choose it for AdamW: the step is scaled to the same size
    weight_decay    decoupled, times the learning rate
    momentum        of the running mean of gradients, with Nesterov's look ahead
    dtype           that the orthogonalisation is computed in; bfloat16 is enough where it is fast
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(list(matrices), {"lr": learning_rate, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype
        self.is_quick = False  # whether the compiled operations take the step; to be set where they are available

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        assert closure is None, "Muon takes its gradients from backward()"
        for group in self.param_groups:
            shapes = [(matrices, self.momentum_of(matrices)) for matrices in by_shape(group["params"])]
            if self.is_quick:
                quick_step(shapes, group)
                continue
            for matrices, momentum in shapes:
                gradients = torch.stack(gradients_of(matrices))  # (N, rows, columns)
                momentum.lerp_(gradients, 1 - group["momentum"])
                ahead = gradients.lerp_(momentum, group["momentum"])
                steps = orthogonalise(ahead.to(self.dtype)).to(gradients.dtype)
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(steps.unbind()), alpha=-group["lr"] * step_size(matrices[0]))

    def momentum_of(self, matrices: list[Tensor]) -> Tensor:
        """(N, rows, columns); the first of a shape keeps the momentum of all."""
        state = self.state[matrices[0]]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(torch.stack(gradients_of(matrices)))
        found: Tensor = state["momentum"]
        return found


def gradients_of(matrices: list[Tensor]) -> list[Tensor]:
    return [matrix.grad for matrix in matrices if matrix.grad is not None]


def step_size(matrix: Tensor) -> float:
    """What an orthogonal matrix of that shape is multiplied with, beside the learning rate.

    Its entries are of size max(rows, columns)^-0.5, and AdamW's steps are about 0.2 an entry: so one learning
    rate serves both.
    """
    return STEP_SIZE * max(matrix.shape) ** 0.5


def quick_step(shapes: list[tuple[list[Tensor], Tensor]], group: dict[str, Any]) -> None:
    """The same for all matrices at once, each in the cache of one core."""
    from homespun.training.native.operations import Rates, muon_step

    rates = Rates(
        momentum=group["momentum"],
        step=group["lr"] * STEP_SIZE,
        kept=1 - group["lr"] * group["weight_decay"],
        a=QUINTIC[0],
        b=QUINTIC[1],
        c=QUINTIC[2],
        iterations=ITERATIONS,
    )
    matrices = [matrix for group_of_shape, _ in shapes for matrix in group_of_shape]
    momenta = [momentum for _, of_shape in shapes for momentum in of_shape.unbind()]
    muon_step(matrices, gradients_of(matrices), momenta, rates)


def by_shape(matrices: Iterable[nn.Parameter]) -> list[list[Tensor]]:
    """Those that have a gradient, grouped by shape, in the order in which they came."""
    groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
    for matrix in matrices:
        if matrix.grad is not None:
            groups[matrix.shape].append(matrix)
    return list(groups.values())


def orthogonalise(matrices: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """(N, rows, columns) -> the nearest matrices whose singular values are all about 1.

    Newton and Schulz's iteration: products only, no decomposition. Singular values end
    between about 0.7 and 1.2, which is as good as 1 for a step.

    >>> made = orthogonalise(torch.diag(torch.tensor([3.0, 0.5]))[None])
    >>> bool((made[0].diag() - 1).abs().max() < 0.35)
    True
    """
    a, b, c = QUINTIC
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    if tall:  # x xᵀ is then the smaller product
        x = x.mT
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
