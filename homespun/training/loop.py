"""The training loop: a batch, the loss, the gradient, a step; at intervals an evaluation on held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from homespun.dataset.batches import Batches
from homespun.dataset.preparation import Dataset
from homespun.errors import TrainingError
from homespun.evaluation.loss import Evaluation, evaluate
from homespun.machine.contention import check_contention
from homespun.machine.device import autocast, choose_dtype, is_out_of_memory
from homespun.planning.base_plan import BasePlan
from homespun.planning.evaluations import evaluation_is_due, final_eval_tokens
from homespun.planning.memory import something_smaller
from homespun.planning.plan import Plan
from homespun.training.compiled import Forward
from homespun.training.optimizer import Optimizers
from homespun.training.pace import Pace
from homespun.training.watcher import Progress, Record, Watcher

LR_BACKOFF = 0.3  # factor of the learning-rate backoff after a run has diverged once
# Bound on the loss, as a multiple of the loss before the first step, or of ln V if that is larger. A model that
# was trained on another text begins far above ln V: on bytes of Russian, one of Shakespeare begins at 16 nats.
DIVERGENCE = 2.0


class Diverged(TrainingError):
    """The loss or the gradient is not finite, or the loss is far above the loss before the first step."""


class Loop:
    """One run of training. `for record in loop.run(): …` yields a record at every evaluation.

    The model is trained in place. The caller decides what is saved: the loop does not use folders.
    `stop_asked` is called before every step, `on_plan` when the run changes its plan, and
    `after_step` when a step is complete. Subclasses that train something else (some weights, other
    data) override `make_batches`, `make_forward`, `loss_divisor` and `read`.
    """

    def __init__(
        self,
        plan: BasePlan,
        model: nn.Module,
        dataset: Dataset,
        *,
        watcher: Watcher,
        pace: Pace,
        stop_asked: Callable[[], bool] = lambda: False,
        on_plan: Callable[[BasePlan], None] = lambda plan: None,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.dataset = dataset
        self.watcher = watcher
        self.pace = pace
        self.stop_asked = stop_asked
        self.on_plan = on_plan
        self.after_step = after_step
        self.device = torch.device(plan.device)
        computed_in = choose_dtype(plan.dtype, self.device)
        self.autocast: Callable[[], AbstractContextManager[Any]] = autocast(self.device, computed_in)
        self.batches = self.make_batches()
        self.optimizers = Optimizers(
            model,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            dtype=computed_in,
        )
        self.step = 0  # steps done so far
        self.losses: list[float] = []  # of the steps since the last evaluation
        self.first_loss = 0.0  # on the validation split, before the first step
        self.is_compiled = False

    def run(self) -> Iterator[Record]:
        if self.step == 0:
            yield self.begin_with(self.evaluate())
        if self.is_finished():
            return
        with self.make_forward() as forward:
            self.prepare(forward)
            self.pace.training_starts()
            while not self.is_finished() and not self.stop_asked():
                self.prepare(forward)
                self.pace.step_starts()
                self.model.train()
                self.losses.append(self.take_step(forward))
                self.step += 1
                self.settle(self.pace.step_done(self.plan, self.step))
                self.watcher.stepped(self.progress())
                if evaluation_is_due(self.plan, self.step):
                    yield self.evaluate()
                self.after_step()

    def make_batches(self) -> Any:
        """A sequence whose item `[step]` is the tensors of that step: ids, then targets, (B, T) each."""
        plan = self.plan
        return Batches(self.dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)

    def make_forward(self) -> Any:
        """A context manager that computes the loss of a step, and may compile it inside the context."""
        return Forward(
            self.model,
            self.dataset.vocab_size,
            self.batches[0],
            autocast=self.autocast,
            watcher=self.watcher,
        )

    def prepare(self, forward: Forward) -> None:
        """Switch to the compiled step as soon as it is ready."""
        assert isinstance(self.plan, Plan)
        with self.pace.interruption():
            self.settle(forward.prepare(self.plan, self.step, self.pace.left(self.plan, self.step)))
        if forward.is_compiled and not self.is_compiled:
            self.is_compiled = True
            if forward.uses_native_kernels:
                self.optimizers.use_native_kernels()
            self.pace.pace_changed()

    def is_finished(self) -> bool:
        return self.step >= self.plan.steps

    def settle(self, plan: BasePlan) -> None:
        """Adopt changes that the run makes to its plan: the number of steps, or of micro-batches."""
        if plan is not self.plan:
            self.plan = plan
            self.on_plan(plan)

    def take_step(self, forward: Callable[..., Any]) -> float:
        """Update the weights once; returns the loss before the update. Raises Diverged if training diverges."""
        check_contention()
        loss = self.loss_and_gradient(forward, self.batches[self.step])
        gradient_norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip or math.inf))
        if not math.isfinite(gradient_norm) or self.has_diverged(loss):
            tried = self.plan.learning_rate * (LR_BACKOFF if self.plan.lr_backoff_from else 1.0)
            raise Diverged(
                f"Training diverged at step {self.step + 1}: loss {loss:.4g}, gradient norm {gradient_norm:.4g} "
                f"(the run began with a validation loss of {self.first_loss:.4g}).",
                f"Train anew with a smaller learning rate:  --set learning_rate={tried * LR_BACKOFF:.1g}",
            )
        self.optimizers.step(self.learning_rate_share())
        return loss

    def begin_with(self, record: Record) -> Record:
        """Store the loss before the first step, the reference for later ones; TrainingError if not finite."""
        self.first_loss = record.val_loss
        if not math.isfinite(self.first_loss):
            raise TrainingError(
                f"The model's loss on the validation text is {self.first_loss} before the first step, "
                f"computed in {self.plan.dtype}: there is nothing that training could improve.",
                "Try  --dtype float32. If that changes nothing, the weights of the model are damaged.",
            )
        return record

    def has_diverged(self, loss: float) -> bool:
        """Whether that loss of a batch means that the model has become far worse than before the first step.

        One batch may be harder than the rest, as in a text of two languages of which the model was trained on one.
        So the decision rests on another evaluation of the same validation text as before the first step.
        """
        bound = DIVERGENCE * max(self.first_loss, math.log(self.dataset.vocab_size))
        return not loss < bound and not (math.isfinite(loss) and self.look().loss < bound)

    def loss_and_gradient(self, forward: Callable[..., Any], batch: Sequence[Tensor]) -> float:
        """The mean loss of the batch; accumulates its gradient. Uses more micro-batches if memory runs out."""
        while True:
            parts = self.plan.micro_batches
            try:
                total = 0.0
                for part in zip(*(tensor.chunk(parts) for tensor in batch), strict=True):
                    with self.autocast():
                        _, loss = forward(*(tensor.to(self.device) for tensor in part))
                    like = self.loss_divisor(part, batch)
                    (loss / like).backward()
                    total += loss.item() / like
                return total
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.optimizers.forget_gradients()
                self.settle(self.plan.with_(micro_batches=more_micro_batches(self.plan)))
                parts = self.plan.micro_batches
                self.watcher.note(f"memory did not suffice: from here on each step is computed in {parts} parts")

    def loss_divisor(self, part: Sequence[Tensor], batch: Sequence[Tensor]) -> float:
        """The batch's size in units of this micro-batch: the mean loss of the micro-batch is divided by it."""
        return self.plan.micro_batches

    def learning_rate(self) -> float:
        return self.plan.learning_rate * self.learning_rate_share()

    def learning_rate_share(self) -> float:
        backoff = LR_BACKOFF if 0 < self.plan.lr_backoff_from <= self.step + 1 else 1.0
        return backoff * self.plan.learning_rate_share(self.step)

    def evaluate(self) -> Record:
        with self.pace.evaluating():
            found = self.look()
        mean = math.fsum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        return Record(
            step=self.step,
            tokens=self.step * self.plan.tokens_per_step,
            seconds=round(self.pace.seconds(), 3),
            train_loss=mean,
            val_loss=found.loss,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
            lr=self.learning_rate(),
            tokens_per_second=round(self.pace.tokens_per_second(self.plan), 1),
            val_tokens=found.tokens,
        )

    def look(self, model: nn.Module | None = None) -> Evaluation:
        """Evaluate on the plan's number of validation tokens, in windows spread evenly over the split."""
        return self.read(model or self.model, self.plan.eval_tokens or self.dataset.val.tokens)

    def read_all(self, model: nn.Module) -> Evaluation:
        """The final evaluation, on the whole validation split, or on a part of a very large one."""
        return self.read(model, final_eval_tokens(self.plan, self.dataset.val.tokens))

    def read(self, model: nn.Module, tokens: int) -> Evaluation:
        windows = None if tokens >= self.dataset.val.tokens else max(1, tokens // self.plan.context_length)
        return evaluate(model, self.dataset.val, windows=windows, autocast=self.autocast)

    def progress(self) -> Progress:
        return Progress(
            step=self.step,
            steps=self.plan.steps,
            tokens=self.step * self.plan.tokens_per_step,
            train_loss=self.losses[-1],
            lr=self.learning_rate(),
            tokens_per_second=self.pace.tokens_per_second(self.plan),
            seconds=self.pace.seconds(),
            seconds_left=self.pace.seconds_left(self.plan, self.step),
        )

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on: weights, optimizer state, random state (for dropout)."""
        tensors: dict[str, Tensor] = {}
        tensors |= {f"model.{name}": weight for name, weight in self.optimizers.named.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizers.state().items()}
        tensors["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        return tensors

    def restore(self, tensors: dict[str, Tensor], step: int, losses: list[float], first_loss: float) -> None:
        """Continue after `step` steps from a result of `state`. KeyError if it belongs to another model."""
        with torch.no_grad():
            for name, weight in self.optimizers.named.items():
                weight.copy_(tensors[f"model.{name}"])
        prefix = "optimizer."
        self.optimizers.restore({n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)})
        torch.set_rng_state(tensors["rng.cpu"].cpu())
        if "rng.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"].cpu(), self.device)
        self.step, self.losses, self.first_loss = step, list(losses), first_loss


def more_micro_batches(plan: BasePlan) -> int:
    """The next larger number of equal micro-batches. TrainingError if each has only one sequence already."""
    for parts in range(plan.micro_batches + 1, plan.batch_size + 1):
        if plan.batch_size % parts == 0:
            return parts
    raise TrainingError(
        "There is not enough memory even for one sequence at a time.",
        f"Take {something_smaller(plan)}, or close other programs.",
    )
