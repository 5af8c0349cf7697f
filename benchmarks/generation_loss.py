"""What rounding the weights costs: a trained model's loss on the validation split, as the step computes it."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

import homespun
from benchmarks.pairs import Benchmark, Outcome, Row, Work
from benchmarks.rounds import Failed
from homespun.api.language_model import LanguageModel
from homespun.generation.engine import Engine
from homespun.generation.kv_blocks import blocks_for
from homespun.generation.runner import PagedRunner
from homespun.generation.settings import KINDS
from homespun.kernels.decoding.slots import Slots

WINDOWS = 200
TINY = {"n_layer": 1, "n_head": 1, "n_embd": 16, "batch_size": 4, "compile": "no"}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="a run folder; without one, a model is trained for 2 minutes")


def measure(work: Work) -> Outcome:
    if work.options.model is not None:
        model = homespun.load(work.options.model)
    elif work.smoke:
        from benchmarks.commands import small_text

        text = work.folder / "small.txt"
        text.write_text(small_text(), encoding="utf-8")
        model = homespun.train(str(text), steps=2, context=16, out=work.folder / "run", settings=TINY)
    else:
        model = homespun.train("shakespeare", minutes=2, out=work.folder / "run")
    there_are = (model.dataset().val.tokens - 1) // model.model.config.context_length
    windows = min(2 if work.smoke else WINDOWS, there_are)
    if not windows:
        raise Failed("the validation split is shorter than the model's context")
    losses = {kind: [loss_of(model, kind, windows)] for kind in KINDS}
    before = losses["float32"][0]
    return Outcome(
        values={kind: [found[0] - before] for kind, found in losses.items() if kind != "float32"},
        sides=dict(losses),
        unit="nats a token",
        notes=[f"{windows} windows of the validation split, by the engine's own step; nothing here is by chance"],
    )


def loss_of(model: LanguageModel, kind: str, windows: int) -> float:
    """The mean loss over that many full windows, in nats per token."""
    engine = Engine(model.model, weights=kind, streams=1, wait=True)
    engine.update_runner()
    assert isinstance(engine.runner, PagedRunner)
    length, split = model.model.config.context_length, model.dataset().val
    total = 0.0
    for number in range(windows):
        ids = torch.as_tensor(split.ids[number * length : (number + 1) * length + 1].astype("int64"))
        slots = Slots()
        slots.add(ids[:-1].tolist(), 0, list(range(blocks_for(length))), wants_all=True)
        total += float(F.cross_entropy(engine.runner.step.logits(slots), ids[1:]))
    return total / windows


BENCHMARK = Benchmark(
    "generation_loss",
    "the loss with weights rounded to bfloat16 and int8, against float32",
    measure,
    (
        Row("bfloat16", "loss that weights in bfloat16 add", "nats", "less"),
        Row("int8", "loss that weights and activations in int8 add", "nats", "less"),
    ),
    rounds=1,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
