"""Seconds to 1.4697, and the loss after 60 and 180 s, on tiny Shakespeare: ours, beside nanoGPT's recipe.

1.4697 is the loss that nanoGPT's README gives for its recipe of 5,000 steps on one A100, three minutes. The
recipe is written here in plain PyTorch: a GPT-2 of 6 layers, 6 heads, 384 wide, 256 characters of context,
dropout 0.2, 64 windows from random places, AdamW at 1e-3 with 100 steps of warmup and a cosine to 1e-4, in
bfloat16; eager, and under torch.compile. Losses of both sides are over the whole validation split. The recipe's
time counts from the first step on, ours from the start of the command: its compilation and our planning are
what each side has before that.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import homespun
from benchmarks.commands import shakespeare
from benchmarks.gpu.result import Asked, Row, asked, finish
from homespun.api.train_setup import choose_corpus, prepare_dataset, tokenizer_for
from homespun.dataset.batches import get_batch
from homespun.evaluation.loss import evaluate
from homespun.machine.accelerator import wait_for
from homespun.machine.device import autocast, choose_dtype, to_device
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.training.watcher import Watcher

GOAL = 1.4697
SHAPE = {"context_length": 256, "n_layer": 6, "n_head": 6, "n_embd": 384, "dropout": 0.2}
TINY = {"context_length": 16, "n_layer": 1, "n_head": 1, "n_embd": 16, "dropout": 0.2}
STEPS, WARMUP, PEAK, FLOOR, SEQUENCES = 5000, 100, 1e-3, 1e-4, 64
LIMITS = (60.0, 180.0)  # seconds
Point = tuple[float, float]  # seconds, validation loss


def learning_rate(step: int, steps: int) -> float:
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    share = (step - WARMUP) / max(1, steps - WARMUP)
    return FLOOR + 0.5 * (1 + math.cos(math.pi * share)) * (PEAK - FLOOR)


def by_the_recipe(text: str, wanted: Asked, *, compiles: bool) -> list[Point]:
    """The losses of a run of the recipe; evaluations do not count as time."""
    corpus = choose_corpus([text], None, Watcher())
    _, tokenizer = tokenizer_for(corpus, "char", Watcher())
    dataset = prepare_dataset(corpus, tokenizer, Watcher())
    device, steps = wanted.device, wanted.pick(STEPS, 4)
    torch.manual_seed(1337)
    model = GPT(GPTConfig.of("gpt2", vocab_size=dataset.vocab_size, **wanted.pick(SHAPE, TINY))).to(device)
    forward: Any = torch.compile(model) if compiles else model
    matrices = [weight for weight in model.parameters() if weight.ndim >= 2]
    others = [weight for weight in model.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99), fused=True)
    context = autocast(device, choose_dtype("auto", device))
    found: list[Point] = []
    spent, began = 0.0, time.perf_counter()
    for step in range(steps + 1):
        if step % wanted.pick(250, 2) == 0:
            wait_for(device)
            spent += time.perf_counter() - began
            found.append((spent, evaluate(model, dataset.val, autocast=context).loss))
            began = time.perf_counter()
        if step == steps or spent > LIMITS[-1]:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        x, y = get_batch(dataset.train.ids, SEQUENCES, model.config.context_length)
        model.train()
        with context():
            _, loss = forward(to_device(x, device), to_device(y, device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return found


def by_us(text: str, wanted: Asked, minutes: float) -> list[Point]:
    """The losses of `homespun train --minutes`, by the clock of the command."""
    how: dict[str, Any] = {"minutes": minutes, "settings": {"eval_tokens": 0}}
    if wanted.tiny:
        how = {"steps": 4, "settings": {"n_layer": 1, "n_head": 1, "n_embd": 16, "context_length": 16}}
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        homespun.train(text, out=out, device=str(wanted.device), tokenizer="char", watcher=Watcher(), **how)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["seconds"], line["val_loss"]) for line in lines]


def row_of(side: str, found: list[Point], goal: float) -> Row:
    """The best loss within each limit, and when the goal was reached; None where it was not."""
    row: Row = {
        "side": side,
        f"seconds to {GOAL}": next((seconds for seconds, loss in found if loss <= goal), None),
    }
    for limit in LIMITS:
        row[f"loss at {limit:.0f} s"] = min((loss for seconds, loss in found if seconds <= limit), default=None)
    return row


def main(arguments: list[str] | None = None) -> int:
    wanted = asked(__doc__, arguments)
    goal = wanted.pick(GOAL, math.inf)
    with tempfile.TemporaryDirectory() as name:
        text = shakespeare(Path(name), wanted.tiny)
        rows = [row_of("nanoGPT's recipe, eager", by_the_recipe(text, wanted, compiles=False), goal)]
        if not wanted.tiny:
            rows.append(row_of("nanoGPT's recipe, compiled", by_the_recipe(text, wanted, compiles=True), goal))
        for minutes in wanted.pick((0.5, 1.0, 3.0), (1.0,)):
            rows.append(row_of(f"homespun train --minutes {minutes:g}", by_us(text, wanted, minutes), goal))
    finish(wanted, "recipe", rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
