"""What a run trains a model to do: its batches, its loss, the weight of a micro-batch, its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from homespun.dataset.placement import BatchSource, batches_of, placed
from homespun.dataset.preparation import Dataset
from homespun.evaluation.loss import Evaluation, evaluate
from homespun.machine.device import autocast, choose_dtype
from homespun.model.causal_lm import CausalLM
from homespun.planning.base_plan import BasePlan
from homespun.planning.evaluations import final_eval_tokens
from homespun.planning.plan import Plan
from homespun.training.compiled import CompiledForward
from homespun.training.watcher import Watcher

P = TypeVar("P", bound=BasePlan)

Autocast = Callable[[], AbstractContextManager[Any]]


class Forward(Protocol[P]):
    """Computes the loss of a micro-batch during a run, and may compile itself. A context manager.

    is_compiled           whether it is compiled
    uses_native_kernels   whether it uses our native kernels
    rows                  which rows of a micro-batch of so many this process computes
    """

    is_compiled: bool
    uses_native_kernels: bool
    rows: Callable[[int], slice]

    def __enter__(self) -> Forward[P]: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def prepare(self, plan: P, step: int, seconds_left: float) -> P:
        """Call before every step; returns the plan, which records from which step the compiled form is used."""
        ...

    def follow(self, plan: P, step: int) -> None:
        """Call instead of `prepare` on other ranks than 0, with the plan that `prepare` has returned on rank 0."""
        ...

    def __call__(self, *micro_batch: Tensor) -> tuple[Tensor | None, Tensor]:
        """The tensors of a micro-batch -> logits or None, the mean loss over its targets in nats."""
        ...


class Objective(Protocol[P]):
    """What `Loop` needs to know of the data and the loss.

    autocast      makes the context in which the model computes
    val_tokens    tokens of the validation split
    vocab_size    ids are 0 … vocab_size - 1
    """

    autocast: Autocast
    val_tokens: int
    vocab_size: int

    def batch(self, step: int) -> Sequence[Tensor]:
        """The tensors of that step: ids (B, T), targets (B, T), and what else the forward takes.

        They are on the CPU, or on the device already.
        """
        ...

    def targets(self, batch: Sequence[Tensor]) -> int:
        """Number of targets in a batch or micro-batch: the weight of its mean loss."""
        ...

    def forward(self, model: CausalLM, watcher: Watcher) -> Forward[P]:
        """What computes the loss of the model during the run."""
        ...

    def evaluate(self, model: CausalLM, tokens: int) -> Evaluation:
        """Evaluate on the validation split, or on about `tokens` of it, spread evenly."""
        ...

    def final_eval_tokens(self, plan: P) -> int:
        """Tokens of the final evaluation: the whole split, unless that takes long compared with training."""
        ...


class Windows:
    """The batches of a text: windows of context_length, in which every position has a target."""

    def __init__(self, plan: BasePlan, dataset: Dataset) -> None:
        self.dataset = dataset
        self.vocab_size = dataset.vocab_size
        self.val_tokens = dataset.val.tokens
        self.context_length = plan.context_length
        self.autocast = autocast_of(plan)
        self.batches: BatchSource = batches_of(dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)

    def batch(self, step: int) -> Sequence[Tensor]:
        return self.batches[step]

    def targets(self, batch: Sequence[Tensor]) -> int:
        return batch[1].numel()


class NextToken(Windows):
    """Pretraining: predict the next token at every position of windows of a text."""

    def __init__(self, plan: Plan, dataset: Dataset) -> None:
        super().__init__(plan, dataset)
        self.batches = placed(self.batches, plan.device)

    def forward(self, model: CausalLM, watcher: Watcher) -> Forward[Plan]:
        example = self.batches[0]
        return CompiledForward(model, self.vocab_size, example, autocast=self.autocast, watcher=watcher)

    def evaluate(self, model: CausalLM, tokens: int) -> Evaluation:
        windows = windows_for(tokens, self.val_tokens, self.context_length)
        return evaluate(model, self.dataset.val, windows=windows, autocast=self.autocast)

    def final_eval_tokens(self, plan: BasePlan) -> int:
        return final_eval_tokens(plan, self.val_tokens)


def all_rows(number: int) -> slice:
    return slice(0, number)


class EagerForward:
    """Computes the loss with a module as it is; compiles nothing."""

    is_compiled = False
    uses_native_kernels = False

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.rows: Callable[[int], slice] = all_rows

    def __enter__(self) -> EagerForward:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def prepare(self, plan: P, step: int, seconds_left: float) -> P:
        return plan

    def follow(self, plan: P, step: int) -> None:
        return None

    def __call__(self, *micro_batch: Tensor) -> tuple[Tensor | None, Tensor]:
        result: tuple[Tensor | None, Tensor] = self.module(*micro_batch)
        return result


def autocast_of(plan: BasePlan) -> Autocast:
    """Makes contexts in which matrix products run in the plan's dtype, on its device."""
    return autocast(plan.device, choose_dtype(plan.dtype, plan.device))


def windows_for(tokens: int, val_tokens: int, context_length: int) -> int | None:
    """Windows of an evaluation on `tokens` of a split of `val_tokens`; None is the whole split.

    >>> windows_for(1000, 5000, 64), windows_for(5000, 5000, 64)
    (15, None)
    """
    return None if tokens >= val_tokens else max(1, tokens // context_length)
