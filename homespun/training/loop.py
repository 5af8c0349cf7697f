"""The training loop: forward, backward, clip, step; at intervals an evaluation on held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic

import torch
from torch import Tensor, nn

from homespun.errors import TrainingError
from homespun.evaluation.loss import Evaluation
from homespun.machine.accelerator import peak_of
from homespun.machine.contention import check_contention
from homespun.machine.device import choose_dtype, is_out_of_memory
from homespun.model.causal_lm import CausalLM
from homespun.model.dropout import rows_of
from homespun.planning.base_plan import BasePlan
from homespun.planning.cost import utilisation
from homespun.planning.evaluations import evaluation_is_due
from homespun.planning.memory import something_smaller
from homespun.training.clock import RunClock
from homespun.training.grains import gradient_in_grains
from homespun.training.objective import Forward, Objective, P
from homespun.training.optimizer import Optimizers
from homespun.training.watcher import Progress, Record, Watcher
from homespun.training.world import OneProcess, World

LR_BACKOFF = 0.3  # factor of the learning-rate backoff after a run has diverged once
# Bound on the loss, as a multiple of the loss before the first step, or of ln V if that is larger. A model that
# was trained on another text begins far above ln V: on bytes of Russian, one of Shakespeare begins at 16 nats.
DIVERGENCE = 2.0


class Diverged(TrainingError):
    """The loss or the gradient is not finite, or the loss is far above the loss before the first step."""


class Loop(Generic[P]):
    """One run of training. `for record in loop.run(): …` yields a record at every evaluation.

    The model is trained in place. The caller decides what is saved: the loop does not use folders.

    objective   batches, loss and evaluation
    world       the processes that compute the run, and their agreement
    stop_asked  called before every step: whether to stop there
    on_plan     called when the run changes its plan
    after_step  called when a step is complete
    """

    def __init__(
        self,
        plan: P,
        model: CausalLM,
        objective: Objective[P],
        *,
        watcher: Watcher,
        clock: RunClock,
        world: World | None = None,
        stop_asked: Callable[[], bool] = lambda: False,
        on_plan: Callable[[P], None] = lambda plan: None,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.model = model
        self.objective = objective
        self.watcher = watcher
        self.clock = clock
        self.world: World = world or OneProcess()
        self.stop_asked = stop_asked
        self.on_plan = on_plan
        self.after_step = after_step
        self.optimizers = Optimizers(
            model,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            dtype=choose_dtype(plan.dtype, plan.device),
            world=None if plan.deterministic_reduction else self.world,
        )
        self.gradient_dtype = choose_dtype(plan.gradient_dtype, plan.device)
        self.trained = list(self.optimizers.named.values())
        self.step = 0  # steps done so far
        self.losses: list[float] = []  # of the steps since the last evaluation
        self.first_loss = 0.0  # on the validation split, before the first step
        self.is_compiled = False
        # With frozen weights a step does less than the formula of the MFU says.
        learns_all = all(weight.requires_grad for weight in model.parameters())
        self.peak = peak_of(plan.device, plan.dtype) if learns_all else 0.0

    def run(self) -> Iterator[Record]:
        if self.step == 0:
            yield self.begin_with(self.evaluate())
        if self.is_finished():
            return
        with self.objective.forward(self.model, self.watcher) as forward:
            forward.rows = self.world.rows
            self.prepare(forward)
            self.clock.training_starts()
            while not self.is_finished() and not self.world.any(self.stop_asked()):
                self.prepare(forward)
                self.clock.step_starts()
                self.model.train()
                self.losses.append(self.train_step(forward))
                self.step += 1
                self.adopt(self.world.agree(self.clock.step_done(self.plan, self.step)))
                self.watcher.stepped(self.progress())
                if evaluation_is_due(self.plan, self.step):
                    yield self.evaluate()
                self.after_step()

    def train_step(self, forward: Forward[P]) -> float:
        """Update the weights once; returns the loss before the update. Raises Diverged if training diverges."""
        check_contention()
        batch = self.objective.batch(self.step)
        losses = self.forward_and_backward(forward, batch)
        norm = self.clip_gradients()
        # The only place of a step where the program waits for the device.
        *parts, gradient_norm = torch.stack([*losses, norm.to(losses[0])]).tolist()
        loss = math.fsum(parts)
        self.check_divergence(loss, gradient_norm)
        self.optimizers.step(self.learning_rate_share())
        self.optimizers.zero_grad()
        return loss

    def forward_and_backward(self, forward: Forward[P], batch: Sequence[Tensor]) -> list[Tensor]:
        """Accumulate the gradient of the batch's mean loss; returns scalars whose sum is that loss.

        If memory runs out, on any process, more micro-batches are used from here on.
        """
        while True:
            if self.plan.deterministic_reduction:
                losses = self.in_grains(forward, batch)
            else:
                losses = self.world.sum_gradients(self.trained, self.own_part(forward, batch), self.gradient_dtype)
            if losses is not None:
                return losses
            self.optimizers.zero_grad()
            number = self.world.agree(more_micro_batches(self.plan))
            self.adopt(self.plan.with_(micro_batches=number))
            self.watcher.note(f"out of memory: from here on each step is computed in {number} micro-batches")

    def own_part(self, forward: Forward[P], batch: Sequence[Tensor]) -> list[Tensor] | None:
        """What this process adds to the gradient: its rows of every micro-batch.

        Returns their shares of the loss, or None if memory ran out. A process without a row computes the first one
        with weight 0: so dropout draws the same numbers on all processes.
        """
        targets = self.objective.targets(batch)
        losses = []
        try:
            for micro_batch in micro_batches(batch, self.plan.micro_batches):
                rows = self.world.rows(len(micro_batch[0]))
                mine = tuple(tensor[rows] for tensor in micro_batch)
                weight = self.objective.targets(mine)
                if not len(mine[0]):
                    mine = tuple(tensor[:1] for tensor in micro_batch)
                with self.drawing(rows.start, len(micro_batch[0])), self.objective.autocast():
                    _, loss = forward(*mine)
                loss = loss / (targets / weight) if weight else loss * 0.0
                loss.backward()
                losses.append(loss.detach())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        return losses

    def in_grains(self, forward: Forward[P], batch: Sequence[Tensor]) -> list[Tensor] | None:
        """The gradient and the loss as `own_part` and `sum_gradients` give them, added up in one order always."""

        def losses_of(grain: Sequence[Tensor], begin: int) -> list[Tensor]:
            """The backward pass of those rows. A grain has the rows of one micro-batch."""
            weight = self.objective.targets(grain)
            with rows_of(len(batch[0]), begin), self.objective.autocast():
                _, loss = forward(*grain)
            loss = loss / (self.objective.targets(batch) / weight) if weight else loss * 0.0
            loss.backward()
            return [loss.detach()]

        return gradient_in_grains(self.world, self.trained, batch, losses_of)

    def drawing(self, begin: int, rows: int) -> AbstractContextManager[None]:
        """While it lasts, dropout draws for so many rows, of which this process computes those from `begin` on."""
        return nullcontext() if self.world.size == 1 else rows_of(rows, min(begin, rows - 1))

    def clip_gradients(self) -> Tensor:
        """Scale the gradients down to the plan's norm; returns the norm before, everywhere that of rank 0."""
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        norm = self.world.agree_on_tensor(nn.utils.get_total_norm(gradients))
        nn.utils.clip_grads_with_norm_(self.model.parameters(), self.plan.clip or math.inf, norm)
        return norm

    def prepare(self, forward: Forward[P]) -> None:
        """Switch to the compiled step as soon as it is ready."""
        with self.clock.interruption():
            plan = self.plan
            if self.world.rank == 0:
                plan = forward.prepare(plan, self.step, self.clock.left(plan, self.step))
            self.adopt(self.world.agree(plan))
            if self.world.rank > 0:
                forward.follow(self.plan, self.step)
        if forward.uses_native_kernels and not self.optimizers.uses_native_kernels:
            self.optimizers.use_native_kernels()
        if forward.is_compiled and not self.is_compiled:
            self.is_compiled = True
            self.clock.speed_changed()

    def is_finished(self) -> bool:
        return self.step >= self.plan.steps

    def adopt(self, plan: P) -> None:
        """Go on with a plan that the run has changed: the number of steps, or of micro-batches."""
        if plan is not self.plan:
            self.plan = plan
            self.on_plan(plan)

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

    def check_divergence(self, loss: float, gradient_norm: float) -> None:
        """Raise Diverged if the gradient is not finite, or the model far worse than before the first step.

        One batch may be harder than the rest, as in a text of two languages of which the model was trained on one.
        So the decision rests on another evaluation of the same validation text as before the first step.
        """
        bound = DIVERGENCE * max(self.first_loss, math.log(self.objective.vocab_size))
        is_finite = math.isfinite(gradient_norm) and math.isfinite(loss)
        if is_finite and (loss < bound or self.evaluation().loss < bound):
            return
        tried = self.plan.learning_rate * (LR_BACKOFF if self.plan.lr_backoff_from else 1.0)
        raise Diverged(
            f"Training diverged at step {self.step + 1}: loss {loss:.4g}, gradient norm {gradient_norm:.4g} "
            f"(the run began with a validation loss of {self.first_loss:.4g}).",
            f"Train anew with a smaller learning rate:  --set learning_rate={tried * LR_BACKOFF:.1g}",
        )

    def learning_rate(self) -> float:
        return self.plan.learning_rate * self.learning_rate_share()

    def learning_rate_share(self) -> float:
        backoff = LR_BACKOFF if 0 < self.plan.lr_backoff_from <= self.step + 1 else 1.0
        return backoff * self.plan.learning_rate_share(self.step)

    def evaluate(self) -> Record:
        with self.clock.evaluating():
            found = self.evaluation()
        mean = math.fsum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        return Record(
            step=self.step,
            tokens=self.step * self.plan.tokens_per_step,
            seconds=round(self.clock.seconds(), 3),
            train_loss=mean,
            val_loss=found.loss,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
            lr=self.learning_rate(),
            tokens_per_second=round(self.clock.tokens_per_second(self.plan), 1),
            val_tokens=found.tokens,
        )

    def evaluation(self, model: CausalLM | None = None) -> Evaluation:
        """Evaluate on the plan's number of validation tokens, in windows spread evenly over the split."""
        return self.evaluated(model or self.model, self.plan.eval_tokens or self.objective.val_tokens)

    def final_evaluation(self, model: CausalLM) -> Evaluation:
        """Evaluate on the whole validation split, or on a part of a very large one."""
        return self.evaluated(model, self.objective.final_eval_tokens(self.plan))

    def evaluated(self, model: CausalLM, tokens: int) -> Evaluation:
        """Rank 0 evaluates, and the others adopt what it has found."""
        return Evaluation(**self.world.first(lambda: vars(self.objective.evaluate(model, tokens))))

    def progress(self) -> Progress:
        return Progress(
            step=self.step,
            steps=self.plan.steps,
            tokens=self.step * self.plan.tokens_per_step,
            train_loss=self.losses[-1],
            lr=self.learning_rate(),
            tokens_per_second=self.clock.tokens_per_second(self.plan),
            seconds=self.clock.seconds(),
            seconds_left=self.clock.seconds_left(self.plan, self.step),
            mfu=self.mfu(),
        )

    def mfu(self) -> float:
        """Model FLOPs utilisation of the last steps; 0 while it is unknown, and where the device's peak is."""
        return utilisation(self.model.config, self.clock.tokens_per_second(self.plan), self.peak)

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on: weights, optimizer state, random state (for dropout).

        All ranks call it at the same place. Weights that several processes update each for itself become those of
        rank 0: on other processors they may have been rounded in another way.
        """
        tensors: dict[str, Tensor] = {}
        for weight in self.trained:
            self.world.agree_on_tensor(weight.detach())
        tensors |= {f"model.{name}": weight for name, weight in self.optimizers.named.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizers.state().items()}
        tensors["rng.cpu"] = torch.get_rng_state()
        device = torch.device(self.plan.device)
        if device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(device)
        return tensors

    def restore(self, tensors: dict[str, Tensor], step: int, losses: list[float], first_loss: float) -> None:
        """Continue after `step` steps from a result of `state`. KeyError if it belongs to another model."""
        with torch.no_grad():
            for name, weight in self.optimizers.named.items():
                weight.copy_(tensors[f"model.{name}"])
        prefix = "optimizer."
        self.optimizers.restore({n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)})
        torch.set_rng_state(tensors["rng.cpu"].cpu())
        device = torch.device(self.plan.device)
        if "rng.cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"].cpu(), device)
        self.step, self.losses, self.first_loss = step, list(losses), first_loss


def micro_batches(batch: Sequence[Tensor], number: int) -> Iterator[tuple[Tensor, ...]]:
    """The tensors (B, …) of a batch in `number` equal parts (B / number, …), one after the other.

    >>> [[part.tolist() for part in parts] for parts in micro_batches([torch.tensor([1, 2, 3, 4])], 2)]
    [[[1, 2]], [[3, 4]]]
    """
    return zip(*(tensor.chunk(number) for tensor in batch), strict=True)


def more_micro_batches(plan: BasePlan) -> int:
    """The next larger number of equal micro-batches. TrainingError if each has only one sequence already."""
    for parts in range(plan.micro_batches + 1, plan.batch_size + 1):
        if plan.batch_size % parts == 0:
            return parts
    raise TrainingError(
        "There is not enough memory even for one sequence at a time.",
        f"Take {something_smaller(plan)}, or close other programs.",
    )
