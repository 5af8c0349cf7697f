"""torch.compile, if the plan asks for it and it works here; otherwise the eager model, with a note to the user.

Compiling takes half a minute the first time on a machine, and some seconds when PyTorch finds the step in its
cache; on a busy machine it takes minutes. A run with minutes waits for neither: another process compiles the
step into PyTorch's cache, or finds it there, and reports how long loading takes. Training starts with the eager
model on one core fewer, because two programs that both use all cores mostly wait for each other. The run itself
loads the compiled step, if that takes a small share of the time that is left.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homespun.kernels.select import with_eager_kernels, with_step_kernels, with_training_kernels
from homespun.kernels.selfcheck import agree
from homespun.kernels.training.source import TRAINING
from homespun.machine.device import choose_dtype, compile_cache, first_line, memory_free, to_device
from homespun.machine.jobs import GAVE_UP, Job, start
from homespun.model.causal_lm import CausalLM
from homespun.model.dropout import rows_of
from homespun.planning.base_plan import NOT_YET
from homespun.planning.memory import SHARE, bytes_of_a_step
from homespun.planning.plan import Plan
from homespun.training.compile_options import (
    compiled_form,
    failures_on,
    passes_of_a_trial,
    records_graph,
    tried,
    ways_to_compile,
)
from homespun.training.watcher import Watcher

# Largest share of the training time left that a run waits for the compiled step. Loading pays if it shortens a
# step by more than that; in float32 on two cores (AVX2), 4 layers of n_embd 128 take 0.10 s instead of 0.14.
MOST_WAITED = 0.2
SHARE_OF_IMPORTING = 0.36  # of the loading time: 1.9 s of 5.2 s on that machine when it is idle
TOO_LONG = "loading the compiled step takes {:.0f} s here, too long for the time left; training goes on without it"


class CompiledForward:
    """Computes (logits, loss) from (ids, targets): with the eager model, or compiled as soon as that is ready."""

    def __init__(
        self,
        model: CausalLM,
        vocab_size: int,
        example: tuple[Tensor, Tensor],
        *,
        autocast: Callable[[], AbstractContextManager[Any]],
        watcher: Watcher,
    ) -> None:
        self.model = model
        self.device = model.device
        self.vocab_size = vocab_size
        self.example = example
        self.autocast = autocast
        self.watcher = watcher
        self.compute: Callable[..., Any] = model
        self.is_compiled = False
        self.has_graph = False  # whether the compiled step is a CUDA graph
        self.room_beside: bool | None = None  # whether another process has memory for a second copy of the step
        self.uses_native_kernels = False  # whether it uses our native kernels
        self.beside: subprocess.Popen[bytes] | None = None
        self.planned: Plan | None = None  # the plan whose step the other process compiles
        self.threads = torch.get_num_threads()
        self.rows: Callable[[int], slice] = lambda number: slice(0, number)

    def __call__(self, *micro_batch: Tensor) -> tuple[Tensor | None, Tensor]:
        """ids (B, T), targets (B, T) on any device -> logits (B, T, V), the mean loss in nats."""
        ids, targets = (to_device(tensor, self.device) for tensor in micro_batch)
        if self.has_graph:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step has left may be written over
        logits, loss = self.compute(ids, targets)
        return logits, loss

    def __enter__(self) -> CompiledForward:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Stop the compiling process. If the run ended normally, finish compiling as a background job."""
        torch.set_num_threads(self.threads)
        if self.beside is not None and self.beside.poll() is None:
            self.beside.kill()
            self.beside.wait()
            if kind is None and self.planned is not None:
                compile_for_next_time(self.planned, self.vocab_size)

    def follow(self, plan: Plan, step: int) -> None:
        """On other processes than rank 0: compute as rank 0 has decided, which `prepare` was called on."""
        if self.is_compiled:
            return
        if plan.kernels:
            self.use_kernels(plan)
        elif plan.compile and plan.compile_from != NOT_YET and step >= plan.compile_from:
            self.compile(plan)

    def own_share(self, plan: Plan) -> Plan:
        """A plan whose only micro-batch is what this process computes of one: what is compiled depends on it."""
        rows = self.rows(plan.batch_size // plan.micro_batches)
        return plan.with_(batch_size=max(1, rows.stop - rows.start), micro_batches=1)

    def drawing(self, plan: Plan) -> AbstractContextManager[None]:
        """Dropout as in the steps of the run, or the step would be compiled once more."""
        size = plan.batch_size // plan.micro_batches
        rows = self.rows(size)
        return nullcontext() if rows == slice(0, size) else rows_of(size, min(rows.start, size - 1))

    def prepare(self, plan: Plan, step: int, seconds_left: float = math.inf) -> Plan:
        """Call before every step; returns the plan, updated with what was found out about compiling.

        With minutes, the step from which the compiled form is used depends on when it is ready. The plan records
        that step: the eager and the compiled form round differently, so a replay must switch at the same step.
        seconds_left: of training time.
        """
        if self.is_compiled:
            if self.has_graph and plan.micro_batches > 1:  # memory ran out: a graph would lose gradients
                self.compute = compiled_form(self.eager(plan), ways_to_compile(plan, 0)[-1])
                self.has_graph = False
            return plan
        if plan.kernels:
            return self.use_kernels(plan)
        if self.compute is self.model and self.device.type != "cpu":
            self.compute = self.eager(plan)
        if is_open(plan, step, self.own_share(plan), self.vocab_size) and self.has_room_beside(plan):
            return self.take_when_ready(plan, step, seconds_left)
        begins = plan.compile_from if plan.compile_from != NOT_YET else math.inf
        self.leave_a_core(step < begins)  # in a replay, too: the number of threads changes how sums are rounded
        if plan.compile and step >= begins and not self.compile(plan):
            return plan.with_(compile=False)
        return plan

    def eager(self, plan: Plan) -> nn.Module:
        """What computes the step while it is not compiled."""
        return with_eager_kernels(self.model, plan.device, dtype_of(plan), self.watcher.note)

    def use_kernels(self, plan: Plan) -> Plan:
        """Compute with the native kernels that need no compiled step; where they are missing, eagerly."""
        if self.compute is not self.model:
            return plan
        self.compute = with_step_kernels(self.model, plan.device, dtype_of(plan), self.watcher.note)
        if self.compute is not self.model:
            self.uses_native_kernels = True
            return plan
        self.watcher.note("the plan's native kernels cannot be used here; PyTorch computes the step")
        return plan.with_(kernels=False)

    def has_room_beside(self, plan: Plan) -> bool:
        """Whether the device has memory for a second copy of the step, in the process that compiles it."""
        if self.room_beside is None:
            config = plan.config(self.vocab_size)
            copy = bytes_of_a_step(config, plan.batch_size // plan.micro_batches, self.device.type)
            self.room_beside = self.device.type == "cpu" or 2 * copy <= SHARE * memory_free(self.device)
        return self.room_beside

    def take_when_ready(self, plan: Plan, step: int, seconds_left: float) -> Plan:
        """Start the compiling process; use the compiled step once it is ready, if it loads quickly enough."""
        if self.beside is None:
            self.planned = self.own_share(plan)
            self.beside = compile_beside(self.planned, self.vocab_size, self.threads)
            self.watcher.note(
                "loading the compiled training step beside the first steps"
                if is_warm(self.planned, self.vocab_size)
                else "compiling the training step beside the first steps; next time it will be there"
            )
            plan = plan.with_(compile_from=NOT_YET)
        if self.beside.poll() is None:
            self.leave_a_core(True)
            return plan
        self.leave_a_core(False)
        seconds, most = seconds_to_load(self.beside), MOST_WAITED * seconds_left
        if seconds is None:
            reason = "took too long" if self.beside.returncode == GAVE_UP else "does not work here"
            self.watcher.note(f"torch.compile {reason}; training goes on without it.")
        elif seconds > most:
            self.watcher.note(TOO_LONG.format(seconds))
        elif self.compile(plan, most):
            return plan.with_(compile_from=step)
        return plan.with_(compile=False, compile_from=step)

    def leave_a_core(self, leaves: bool) -> None:
        """Leave one core to the compiling process, or use all of them."""
        torch.set_num_threads(max(1, self.threads - 1) if leaves else self.threads)

    def compile(self, plan: Plan, at_most: float = math.inf) -> bool:
        """Compile, run one trial forward and backward pass, and use the result if it agrees with the model.

        If the compiler is missing or broken, or the cache folder is not writable, training goes on
        without it. The trial leaves no gradients behind and does not change the random state of
        the run.
        at_most: seconds. A running compiler cannot be stopped, but PyTorch's compiler is imported first, which
        takes a third of the time; if that predicts a longer total than `at_most`, compiling is not started.
        """
        began = time.monotonic()
        import_compiler()
        whole = (time.monotonic() - began) / SHARE_OF_IMPORTING
        if whole > at_most:
            self.watcher.note(TOO_LONG.format(whole))
            return False
        share = self.own_share(plan)
        batch = [part[: share.batch_size].to(plan.device) for part in self.example]
        # The process beside has made our own operations, where they can be made.
        wait = math.inf if at_most == math.inf else 0.0
        found = forms(self.model, plan.device, dtype_of(plan), self.watcher.note, at_most=wait)
        ways = ways_to_compile(plan, self.model.number_of_parameters())
        for form, options in itertools.product(found, ways):
            compiled = compiled_form(form, options)
            try:
                with self.drawing(plan):
                    loss, gradient = tried(compiled, self.model, batch, self.autocast, passes_of_a_trial(options))
            except failures_on(self.device) as error:
                torch.compiler.reset()
                if options is not ways[-1]:
                    continue  # on a GPU there is a simpler way
                self.watcher.note(
                    f"torch.compile does not work here ({first_line(error)}); training goes on without it."
                )
                return False
            with self.drawing(plan):
                plain_loss, plain_gradient = tried(self.compute, self.model, batch, self.autocast)
            if agree(loss, plain_loss, gradient, plain_gradient):
                self.watcher.note(f"compiled the training step in {time.monotonic() - began:.0f} s")
                remember(share, self.vocab_size)
                self.compute = compiled
                self.is_compiled = True
                self.has_graph = records_graph(options)
                self.uses_native_kernels = form is not self.model and self.device.type == "cpu"
                return True
            if form is self.model or at_most < math.inf:
                break  # with a time limit: PyTorch's own form would need another compilation
            self.watcher.note(
                "compiled with our kernels the model computes something else; it is compiled without."
            )
        self.watcher.note(
            "torch.compile computes something else than the model here; training goes on without it."
        )
        return False


def is_open(plan: Plan, step: int, share: Plan, vocab_size: int) -> bool:
    """Whether the first compiled step depends on the clock and is not decided yet. share: see `own_share`.

    On a GPU the other process would need memory for a second copy of the model: a step that was compiled before is
    loaded at once instead.
    """
    if not plan.compile or not plan.minutes:
        return False
    begins = step == 0 and plan.compile_from == 0
    return plan.compile_from == NOT_YET or (begins and not (plan.device != "cpu" and is_warm(share, vocab_size)))


def seconds_to_load(beside: subprocess.Popen[bytes]) -> float | None:
    """The loading time of the compiled step, as reported by the finished process; None if that process failed."""
    if beside.returncode or beside.stdout is None:
        return None
    with beside.stdout as said:
        try:
            return float(said.readline())
        except ValueError:
            return None


def import_compiler() -> None:
    """Import PyTorch's compiler, which PyTorch would import itself at the first compilation."""
    import torch._dynamo
    import torch._inductor.compile_fx  # noqa: F401


def forms(
    model: nn.Module,
    device: str,
    dtype: torch.dtype,
    note: Callable[[str], None] = lambda line: None,
    *,
    at_most: float = math.inf,
) -> list[nn.Module]:
    """What computes the model on the same weights: with kernels first, the model itself last.

    at_most: seconds to wait for kernels that are not compiled yet.
    """
    fastest = with_training_kernels(model, device, dtype, note, at_most=at_most)
    return [model] if fastest is model else [fastest, model]


def dtype_of(plan: Plan) -> torch.dtype:
    return choose_dtype(plan.dtype, torch.device(plan.device))


def compile_for_next_time(plan: Plan, vocab_size: int, purpose: Path | None = None) -> None:
    """Start another process that compiles the step of a future plan, using only idle resources.

    purpose: a file of the run that such a run may follow. If that file is gone, nobody needs the step.
    """
    if not is_warm(plan, vocab_size):
        compile_beside(plan, vocab_size, torch.get_num_threads(), patient=True, purpose=purpose)


def compile_beside(
    plan: Plan, vocab_size: int, threads: int, *, patient: bool = False, purpose: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that compiles the plan's step into PyTorch's cache, where this process finds it.

    It ends with this process, and prints how many seconds loading the step takes.
    patient: nothing waits for the result; the job is postponed until it disturbs nobody.
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
            done=str(mark_of(plan, vocab_size))
            if patient
            else "",  # a run that waits needs to know how long loading takes
        )
    )


def is_warm(plan: Plan, vocab_size: int) -> bool:
    """Whether exactly this step was compiled here before and is still in PyTorch's cache."""
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
            continue  # damaged, or from another version: ignored
    return frozenset(shapes)


def remember(plan: Plan, vocab_size: int) -> None:
    step = step_of(plan, vocab_size)
    try:
        marks().mkdir(parents=True, exist_ok=True)
        mark_of(plan, vocab_size).write_text(json.dumps(step), encoding="utf-8")
    except OSError:
        return  # an unwritable cache only loses the record; compiling itself has worked


def marks() -> Path:
    """Folder of the records of what was compiled: inside PyTorch's cache, so that they are deleted with it."""
    return compile_cache() / "homespun"


def step_of(plan: Plan, vocab_size: int) -> dict[str, Any]:
    """What identifies a compiled step, apart from code and versions."""
    sequences = plan.batch_size // plan.micro_batches
    return {
        "shape": [plan.n_layer, plan.n_head, plan.n_embd, plan.context_length, sequences, plan.dropout],
        "config": repr(plan.config(vocab_size)),
        "runs": [plan.device, plan.dtype, plan.model, vocab_size],
    }


def surroundings() -> list[Any]:
    """What a compiled step depends on apart from its shape: versions, threads, and the code that it includes."""
    package = Path(__file__).parents[1]
    folders = package / "model", package / "kernels", package / "kernels" / "training"
    sources = sorted(path for folder in folders for path in folder.glob("*.py"))
    operations = TRAINING.library()  # its name contains a hash of the processor and the source
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
