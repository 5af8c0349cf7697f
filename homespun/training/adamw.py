"""AdamW: a step size of its own for every parameter (Loshchilov & Hutter 2019, arXiv 1711.05101).

The arithmetic is PyTorch's fused kernel, with all weights in one call. torch.optim.AdamW is not used: its first
step imports the machinery of torch.compile, which adds a second to every start on a laptop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

BETAS = (0.9, 0.95)
EPSILON = 1e-8


class AdamW:
    """AdamW for weights of any shape. Weights without a gradient are not changed.

    weight_decay    decoupled, multiplied by the learning rate
    state           for each weight that has been updated: running mean and mean square of its gradient, and its
                    number of steps, under the names of torch.optim.AdamW
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], *, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        self.weights = list(weights)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        learning: list[Tensor] = [weight for weight in self.weights if weight.grad is not None]
        if not learning:
            return
        states = [self.state_of(weight) for weight in learning]
        adamw(
            learning,
            [weight.grad for weight in learning if weight.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def state_of(self, weight: Tensor) -> dict[str, Tensor]:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        return state
