"""`python -m homespun.training.compile_beside`: compiles the training step of a plan into PyTorch's cache.

The run that wants it goes on meanwhile, and finds it there (see compiled.py). The plan comes as a line of JSON on
standard input, and when that is closed this ends; nothing is trained, and beside the cache nothing is written.
Exit code 0 where it worked: then the seconds stand on standard output that it takes a process to load the compiled
step, with whatever else is at work.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch

from homespun.machine.builds import give_way
from homespun.machine.device import autocast, choose_dtype
from homespun.machine.jobs import end_with_standard_input
from homespun.model.gpt import build
from homespun.planning.plan import Plan
from homespun.training.compiled import compiled_form, forms, import_compiler, remember, tried


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
        torch.compiler.reset()  # what is left is in the cache, as it is for the run
        print(importing + seconds_of(lambda: compile_step(plan, vocab_size)), flush=True)


def seconds_of(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def compile_step(plan: Plan, vocab_size: int) -> None:
    """One pass forward and backward through the compiled model, with ids that mean nothing."""
    model = build(plan.config(vocab_size)).to(plan.device)
    shape = (plan.batch_size // plan.micro_batches, plan.context_length)
    ids = torch.zeros(shape, dtype=torch.int64, device=plan.device)
    computed_in = choose_dtype(plan.dtype, torch.device(plan.device))
    quickest = forms(model, plan.device, computed_in)[0]
    tried(compiled_form(quickest, plan), model, [ids, ids], autocast(plan.device, computed_in))


if __name__ == "__main__":
    main()
