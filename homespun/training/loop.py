"""The training loop: a batch, the loss, the gradient, a step; now and then a look at the validation text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from homespun.dataset import Batches, Dataset
from homespun.device import autocast, choose_dtype
from homespun.errors import TrainingError
from homespun.evaluation import Evaluation, evaluate
from homespun.training.compiled import compiled_or_eager
from homespun.training.optimizer import Optimizers
from homespun.training.pace import Pace
from homespun.training.plan import Plan
from homespun.training.planner import MOST_TOKENS_AT_A_LOOK
from homespun.training.schedule import learning_rate_at
from homespun.training.watcher import Progress, Record, Watcher


class Loop:
    """One run of training. `for record in loop.run(): …` yields a record at every evaluation.

    The model is trained in place. Whoever drives the loop decides what is kept: the loop
    knows nothing of folders. `stop_asked` is looked at before every step; `on_plan` hears of
    the number of steps, where the plan left it to the time.
    """

    def __init__(
        self,
        plan: Plan,
        model: nn.Module,
        dataset: Dataset,
        *,
        watcher: Watcher,
        pace: Pace,
        stop_asked: Callable[[], bool] = lambda: False,
        on_plan: Callable[[Plan], None] = lambda plan: None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.dataset = dataset
        self.watcher = watcher
        self.pace = pace
        self.stop_asked = stop_asked
        self.on_plan = on_plan
        self.device = torch.device(plan.device)
        self.autocast: Callable[[], AbstractContextManager[Any]] = autocast(
            self.device, choose_dtype(plan.dtype, self.device)
        )
        self.step = 0  # steps that are done
        self.losses: list[float] = []  # of the steps since the last evaluation

    def run(self) -> Iterator[Record]:
        plan = self.plan
        batches = Batches(self.dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)
        optimizers = Optimizers(
            self.model,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            dtype=choose_dtype(plan.dtype, self.device),
        )
        yield self.evaluate()  # before the first step: what knowing nothing costs
        forward = compiled_or_eager(self.model, plan, self.autocast, batches[0], self.watcher)
        self.pace.training_starts()
        while not self.is_done():
            self.model.train()
            self.losses.append(self.take_step(forward, optimizers, batches))
            self.step += 1
            self.settle(self.pace.step_done(self.plan, self.step))
            self.watcher.stepped(self.progress())
            if self.evaluation_is_due():
                yield self.evaluate()
        if self.losses:  # where the end does not fall on an evaluation
            yield self.evaluate()

    def is_done(self) -> bool:
        return self.stop_asked() or (self.plan.steps > 0 and self.step >= self.plan.steps)

    def settle(self, plan: Plan) -> None:
        """Takes the plan with its number of steps, once the pace has found it out."""
        if plan is not self.plan:
            self.plan = plan
            self.on_plan(plan)

    def take_step(self, forward: Callable[..., Any], optimizers: Optimizers, batches: Batches) -> float:
        """One update of the weights; returns the loss before it. TrainingError where it is not a number."""
        x, y = batches[self.step]  # (B, T) each
        parts = self.plan.micro_batches
        total = 0.0
        for part_x, part_y in zip(x.chunk(parts), y.chunk(parts), strict=True):
            with self.autocast():
                _, loss = forward(part_x.to(self.device), part_y.to(self.device))
            (loss / parts).backward()
            total += loss.item() / parts
        if not math.isfinite(total):
            raise TrainingError(
                f"The loss is {total} at step {self.step + 1}: the weights have run away.",
                f"Train with a smaller learning rate:  --set learning_rate={self.plan.learning_rate / 3:.1g}",
            )
        if self.plan.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        optimizers.step(self.learning_rate_share())
        return total

    def learning_rate_share(self) -> float:
        plan = self.plan
        if not plan.steps:  # not known yet: that is so only while the learning rate still climbs
            return min(1.0, (self.step + 1) / max(1, plan.warmup_steps))
        return learning_rate_at(self.step, steps=plan.steps, warmup_steps=plan.warmup_steps, decay=plan.decay)

    def evaluation_is_due(self) -> bool:
        every = self.plan.evaluate_every
        return 0 < self.step < self.plan.steps and every > 0 and self.step % every == 0

    def evaluate(self) -> Record:
        with self.pace.evaluating():
            found = self.look()
        mean = math.fsum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        return Record(
            step=self.step,
            tokens=self.step * self.plan.tokens_a_step,
            seconds=round(self.pace.seconds(), 3),
            train_loss=mean,
            val_loss=found.loss,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
            lr=self.plan.learning_rate * self.learning_rate_share(),
            tokens_per_second=round(self.pace.tokens_per_second(self.plan), 1),
        )

    def look(self) -> Evaluation:
        """The validation split: whole at the end of the run, and whenever it is not huge."""
        at_end = self.plan.steps > 0 and self.step >= self.plan.steps
        windows = None if at_end else MOST_TOKENS_AT_A_LOOK // self.plan.context_length
        return evaluate(self.model, self.dataset.val, windows=windows, autocast=self.autocast)

    def progress(self) -> Progress:
        return Progress(
            step=self.step,
            steps=self.plan.steps,
            tokens=self.step * self.plan.tokens_a_step,
            train_loss=self.losses[-1],
            lr=self.plan.learning_rate * self.learning_rate_share(),
            tokens_per_second=self.pace.tokens_per_second(self.plan),
            seconds=self.pace.seconds(),
            seconds_left=self.pace.seconds_left(self.plan, self.step),
        )
