"""`python -m homespun.training.compile_beside`: compiles the training step of a plan into PyTorch's cache.

The run that needs the compiled step goes on meanwhile, and finds it in the cache (see compiled.py). The plan is
read as a line of JSON from standard input; when standard input closes, this process ends. It trains nothing and
writes only to the cache. On success the exit code is 0, and standard output has the seconds that a process takes
to load the compiled step under the current load of the machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch

from homespun.machine.accelerator import use_tensor_cores
from homespun.machine.builds import give_way
from homespun.machine.device import autocast, choose_dtype
from homespun.machine.jobs import end_with_standard_input
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.training.compile_options import compiled_form, passes_of_a_trial, tried, ways_to_compile
from homespun.training.compiled import forms, import_compiler, remember


def main() -> None:
    order = json.loads(sys.stdin.readline())
    end_with_standard_input()
    if order["patient"]:
        give_way()
    torch.set_num_threads(int(order["threads"]))
    plan, vocab_size = Plan.parse(order["plan"], "the plan"), int(order["vocab_size"])
    importing = seconds_of(import_compiler)
    compile_step(plan, vocab_size)
    remember(plan, vocab_size)
    if not order["patient"]:
        torch.compiler.reset()  # leaves only the cache, which is what the run will load from
        print(importing + seconds_of(lambda: compile_step(plan, vocab_size)), flush=True)


def seconds_of(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def compile_step(plan: Plan, vocab_size: int) -> None:
    """Run one forward and backward pass of the compiled model, on ids that are all 0."""
    use_tensor_cores(plan.device)
    model = build(plan.config(vocab_size)).to(plan.device)
    shape = (plan.batch_size // plan.micro_batches, plan.context_length)
    ids = torch.zeros(shape, dtype=torch.int64, device=plan.device)
    computed_in = choose_dtype(plan.dtype, torch.device(plan.device))
    quickest = forms(model, plan.device, computed_in)[0]
    options = ways_to_compile(plan, model.number_of_parameters())[0]
    compiled = compiled_form(quickest, options)
    tried(compiled, model, [ids, ids], autocast(plan.device, computed_in), passes_of_a_trial(options))


if __name__ == "__main__":
    main()
