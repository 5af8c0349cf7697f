"""The nearest orthogonal matrix by matrix products alone: the Newton-Schulz iteration of Muon's step."""

from __future__ import annotations

import torch
from torch import Tensor

# Quintics a x + b x³ + c x⁵ which, one after the other, bring every singular value between 0.01 and 1 to
# 0.73 to 1.27. Each is the best that there is for the interval which the one before it leaves (Remez's
# exchange), as in Amsel et al. 2025, arXiv 2505.16932. Jordan's five of one kind do as much.
QUINTICS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
LEEWAY = 1.02  # beyond 1 the first of them shoots up, and a size in bfloat16 may be off by half a percent


def orthogonalise(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the nearest matrices whose singular values are all about 1.

    Newton and Schulz's iteration: products only, no decomposition. Singular values end
    between about 0.7 and 1.3, which is as good as 1 for a step.

    >>> made = orthogonalise(torch.diag(torch.tensor([3.0, 0.5]))[None])
    >>> bool((made[0].diag() - 1).abs().max() < 0.3)
    True
    """
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    tall = x.size(-2) > x.size(-1)
    if tall:  # x xᵀ is then the smaller product
        x = x.mT
    for number, (a, b, c) in enumerate(QUINTICS):
        square = x @ x.mT
        if number == 0:  # the length of x may be many times its largest singular value; this is nearer to it
            size = LEEWAY * torch.linalg.matrix_norm(square, keepdim=True) ** 0.5 + 1e-7
            x, square = x / size, square / size**2
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
