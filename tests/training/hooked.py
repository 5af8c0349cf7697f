"""A run with something in the way of its forward pass: a fault, a small memory, a slow machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from homespun.dataset.preparation import Dataset
from homespun.model.causal_lm import CausalLM
from homespun.planning.plan import Plan
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.objective import NextToken
from homespun.training.recipe import Pretraining
from homespun.training.watcher import Watcher

# hook(step, forward, micro-batch) -> what the loop gets: logits and loss. step: those that are done.
Hook = Callable[[int, Callable[..., Any], tuple[Tensor, ...]], Any]


class Hooked(NextToken):
    def __init__(self, plan: Plan, dataset: Dataset, hook: Hook) -> None:
        super().__init__(plan, dataset)
        self.hook = hook
        self.step = 0

    def batch(self, step: int) -> Sequence[Tensor]:
        self.step = step
        return super().batch(step)

    def forward(self, model: CausalLM, watcher: Watcher) -> Any:
        return HookedForward(super().forward(model, watcher), self)


class HookedForward:
    def __init__(self, inner: Any, objective: Hooked) -> None:
        self.inner = inner
        self.objective = objective

    def __enter__(self) -> HookedForward:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, *micro_batch: Tensor) -> Any:
        return self.objective.hook(self.objective.step, self.inner, micro_batch)


class HookedPretraining(Pretraining):
    def __init__(self, dataset: Dataset, tokenizer: Tokenizer, title: str, hook: Hook) -> None:
        super().__init__(dataset, tokenizer, title)
        self.hook = hook

    def objective(self, plan: Plan) -> Hooked:
        return Hooked(plan, self.dataset, self.hook)
