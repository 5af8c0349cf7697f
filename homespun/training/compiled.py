"""torch.compile where the plan asks for it and it works here; else the model as it is, with a line about it.

Compiling takes half a minute the first time on a machine, and a few seconds when PyTorch finds
its work of last time again. A run that is given minutes does not wait for the first: another
process compiles the same step into PyTorch's cache, and training begins without it, on one core
less. Two programs that both want all cores would wait for each other most of the time.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homespun.kernels.eager import eager
from homespun.kernels.selfcheck import agree
from homespun.kernels.training.operations import available
from homespun.kernels.training.source import TRAINING
from homespun.kernels.training.twin import quick_twin
from homespun.machine.device import choose_dtype, compile_cache, compiler_failures, first_line
from homespun.machine.jobs import GAVE_UP, Job, start
from homespun.model.gpt import GPT
from homespun.planning.plan import Plan
from homespun.training.watcher import Watcher


class Forward:
    """What computes (logits, loss) from (ids, targets): operation by operation, or compiled once that is there."""

    def __init__(
        self,
        model: nn.Module,
        vocab_size: int,
        example: tuple[Tensor, Tensor],
        *,
        autocast: Callable[[], AbstractContextManager[Any]],
        watcher: Watcher,
    ) -> None:
        self.model = model
        self.vocab_size = vocab_size
        self.example = example
        self.autocast = autocast
        self.watcher = watcher
        self.compute: Callable[..., Any] = eager(model)
        self.is_compiled = False
        self.is_quick = False  # whether it uses operations of our own
        self.beside: subprocess.Popen[bytes] | None = None
        self.planned: Plan | None = None  # whose step is compiled beside
        self.threads = torch.get_num_threads()

    def __call__(self, ids: Tensor, targets: Tensor) -> Any:
        return self.compute(ids, targets)

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """The other process ends with the run. A run that ends in order has the rest done in the background."""
        torch.set_num_threads(self.threads)
        if self.beside is not None and self.beside.poll() is None:
            self.beside.kill()
            self.beside.wait()
            if kind is None and self.planned is not None:
                compile_for_next_time(self.planned, self.vocab_size)

    def prepare(self, plan: Plan, step: int) -> Plan:
        """To be called before every step; returns the plan, with what was found out about compiling in it.

        With minutes, the step from which the compiled form is used depends on when it was there. The
        plan keeps it, for the two forms round differently and a replay has to change over where the run did.
        """
        if not plan.compile or self.is_compiled:
            return plan
        at_once = not plan.minutes or is_warm(plan, self.vocab_size)
        if self.beside is None and step == 0 and not plan.compile_from and not at_once:
            self.beside = compile_beside(plan, self.vocab_size, self.threads)
            self.planned = plan
            self.watcher.note("compiling the training step beside the first steps; next time it will be there")
        if step < plan.compile_from or (self.beside is not None and self.beside.poll() is None):
            torch.set_num_threads(max(1, self.threads - 1))  # in a replay, too: it decides how sums are rounded
            return plan
        torch.set_num_threads(self.threads)
        if self.beside is not None and self.beside.returncode:
            reason = "took too long" if self.beside.returncode == GAVE_UP else "does not work here"
            self.watcher.note(f"torch.compile {reason}; training goes on without it.")
            return plan.with_(compile=False)
        works = self.compile(plan)
        return plan.with_(compile=works, compile_from=step if works else 0)

    def compile(self, plan: Plan) -> bool:
        """Compiles, tries it out forward and backward once, and takes it where it computes what the model does.

        A compiler that is missing or broken, or a cache folder that cannot be written, is no
        reason not to train. The trial leaves no gradients behind and draws no random numbers
        that the run would draw.
        """
        began = time.monotonic()
        batch = [part.chunk(plan.micro_batches)[0].to(plan.device) for part in self.example]
        for form in forms(self.model, plan.device, choose_dtype(plan.dtype, torch.device(plan.device))):
            compiled = compiled_form(form, plan)
            try:
                loss, gradient = tried(compiled, self.model, batch, self.autocast)
            except compiler_failures() as error:
                self.watcher.note(
                    f"torch.compile does not work here ({first_line(error)}); training goes on without it."
                )
                torch.compiler.reset()
                return False
            plain_loss, plain_gradient = tried(self.model, self.model, batch, self.autocast)
            if agree(loss, plain_loss, gradient, plain_gradient):
                self.watcher.note(f"compiled the training step in {time.monotonic() - began:.0f} s")
                remember(plan, self.vocab_size)
                self.compute = compiled
                self.is_compiled = True
                self.is_quick = form is not self.model
                return True
            if form is not self.model:
                self.watcher.note(
                    "Our own operations compute something else than the model here; PyTorch's are taken."
                )
        self.watcher.note(
            "torch.compile computes something else than the model here; training goes on without it."
        )
        return False


def forms(model: nn.Module, device: str, dtype: torch.dtype) -> list[nn.Module]:
    """What computes the same as the model on the same weights: the quickest first, the model itself last."""
    if isinstance(model, GPT) and device == "cpu" and dtype is torch.bfloat16 and available(wait=True):
        return [quick_twin(model), model]
    return [model]


def compiled_form(form: nn.Module, plan: Plan) -> Callable[..., Any]:
    """What torch.compile makes of it. With dropout it throws PyTorch's own dice, so that the same numbers fall."""
    return torch.compile(form, dynamic=False, options={"fallback_random": True} if plan.dropout else None)


def tried(
    forward: Callable[..., Any],
    model: nn.Module,
    batch: list[Tensor],
    autocast: Callable[[], AbstractContextManager[Any]],
) -> tuple[float, Tensor]:
    """The loss of a batch, and its gradient as one vector; the model and torch's dice are as before."""
    model.train()
    try:
        with torch.random.fork_rng():
            with autocast():
                _, loss = forward(*batch)
            loss.backward()
        return loss.item(), torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
    finally:
        model.zero_grad(set_to_none=True)


def compile_for_next_time(plan: Plan, vocab_size: int, purpose: Path | None = None) -> None:
    """Has another process compile the step of a plan that is to come, taking only what nobody else needs.

    purpose: a file of the run that such a run may follow. Without it, nobody will ask for the step.
    """
    if not is_warm(plan, vocab_size):
        compile_beside(plan, vocab_size, torch.get_num_threads(), patient=True, purpose=purpose)


def compile_beside(
    plan: Plan, vocab_size: int, threads: int, *, patient: bool = False, purpose: Path | None = None
) -> subprocess.Popen[bytes]:
    """A process of its own that has the plan's step compiled into PyTorch's cache, for us to find it there.

    It ends with this one, but where it is patient: then it is a job that waits until nobody is disturbed by it.
    """
    # The number of threads is part of what is compiled.
    order = {"plan": plan.toml(), "vocab_size": vocab_size, "threads": threads, "patient": patient}
    return start(
        Job(
            ("-m", "homespun.training.compile_beside"),
            json.dumps(order),
            kind="training step",
            urgent=not patient,
            heavy=patient,
            purpose=str(purpose.absolute()) if purpose else "",
            done=str(mark_of(plan, vocab_size)),
        )
    )


def is_warm(plan: Plan, vocab_size: int) -> bool:
    """Whether this very step was compiled here before, and PyTorch's cache still has it."""
    return mark_of(plan, vocab_size).exists()


def mark_of(plan: Plan, vocab_size: int) -> Path:
    return marks() / name_of(step_of(plan, vocab_size), surroundings())


def compiled_shapes(device: str, dtype: str, model: str, vocab_size: int) -> frozenset[tuple[float, ...]]:
    """n_layer, n_head, n_embd, context_length, sequences, dropout of the steps that were compiled here before."""
    shapes, here = set(), surroundings()
    for mark in marks().glob("*.json"):
        try:
            step = json.loads(mark.read_text(encoding="utf-8"))
            if mark.name == name_of(step, here) and step["runs"] == [device, dtype, model, vocab_size]:
                shapes.add(tuple(map(float, step["shape"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged, or of another version: as if it was not there
    return frozenset(shapes)


def remember(plan: Plan, vocab_size: int) -> None:
    step = step_of(plan, vocab_size)
    try:
        marks().mkdir(parents=True, exist_ok=True)
        mark_of(plan, vocab_size).write_text(json.dumps(step), encoding="utf-8")
    except OSError:
        return  # a cache that cannot be written forgets; compiling has worked all the same


def marks() -> Path:
    """Where it is written down what was compiled: inside PyTorch's cache, so that it goes when the cache goes."""
    return compile_cache() / "homespun"


def step_of(plan: Plan, vocab_size: int) -> dict[str, Any]:
    """What makes a compiled step this one and no other, beside the code and the versions."""
    sequences = plan.batch_size // plan.micro_batches
    return {
        "shape": [plan.n_layer, plan.n_head, plan.n_embd, plan.context_length, sequences, plan.dropout],
        "config": repr(plan.config(vocab_size)),
        "runs": [plan.device, plan.dtype, plan.model, vocab_size],
    }


def surroundings() -> list[Any]:
    """What a compiled step depends on beside its shape: versions, threads, and all code that is compiled in."""
    package = Path(__file__).parents[1]
    folders = package / "model", package / "kernels" / "training"
    sources = sorted(path for folder in folders for path in folder.glob("*.py"))
    operations = TRAINING.library()  # what its processor and its source are is in its name
    return [
        torch.__version__,
        torch.get_num_threads(),
        os.environ.get("CXX", ""),
        operations.name if operations else "",
        *(source.read_text(encoding="utf-8") for source in sources),
    ]


def name_of(step: dict[str, Any], surroundings: list[Any]) -> str:
    facts = [step, *surroundings]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24] + ".json"
