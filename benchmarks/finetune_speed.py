"""Tokens a second of fine-tuning SmolLM2-135M with LoRA, against `transformers` and `peft` as they come."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.rounds import attempt, check_loss, check_same
from benchmarks.sides import environment
from benchmarks.worker import Worker

WARM_UP = 2
STEPS = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rank", type=int, default=16, help="of LoRA [default: 16]")
    parser.add_argument("--rows", type=int, default=8, help="a step [default: 8]")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row [default: 256]")


class Tuner(Worker):
    """A side in a process of its own; while one is asked the other one waits."""

    def __init__(self, side: str, model: Path, options: argparse.Namespace, folder: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.tune", side, str(model)]
        for name in ("rank", "rows", "length"):
            command += [f"--{name}", str(getattr(options, name))]
        super().__init__(command, side, env=environment(side, folder))
        self.tokens = options.rows * options.length
        self.facts = self.answer()

    def rate(self, steps: int) -> float:
        """Tokens a second over so many steps. Raises Failed where the loss is no number any more."""
        found = self.ask(f"steps {steps}")
        check_loss(found["loss"], self.side)
        return steps * self.tokens / float(found["seconds"])


def measure(work: Work) -> Outcome:
    return compared(work, "finetune_speed", tuned_model)


def compared(work: Work, row: str, make: Callable[[Work], Path]) -> Outcome:
    """Both sides on the model that `make` makes; the ratio is the value of that row."""
    if importlib.util.find_spec("peft") is None:
        sys.exit("This measures peft too, and needs it:  pip install peft")
    model = make(work)
    if work.smoke:
        work.options.rows, work.options.length = 1, 16
    with (
        Tuner("ours", model, work.options, work.folder) as ours,
        Tuner("plain", model, work.options, work.folder) as plain,
    ):
        for fact in ("trainable", "threads"):
            check_same(fact, ours=ours.facts[fact], plain=plain.facts[fact])
        steps = 1 if work.smoke else STEPS
        for side in (ours, plain):
            attempt(side.rate, 1 if work.smoke else WARM_UP)
        our_rates, their_rates = alternate(work.rounds, lambda: ours.rate(steps), lambda: plain.rate(steps))
    options = work.options
    return Outcome(
        values={row: ratios(our_rates, their_rates)},
        sides={"ours": our_rates, "transformers + peft": their_rates},
        unit="tokens/s",
        ratio_of="ours / transformers + peft",
        notes=[
            f"rank {options.rank} on all matrices of the blocks, {options.rows} rows of {options.length} tokens; "
            "theirs in float32, as its examples run on a CPU; ours as the plan chooses it here"
        ],
    )


def tuned_model(work: Work) -> Path:
    """SmolLM2-135M as a folder that both sides open; with --smoke a tiny model of its shape."""
    import torch

    from homespun.checkpoint.folder import save_model
    from homespun.interop.open import open_model
    from homespun.model.config import GPTConfig
    from homespun.model.gpt import GPT
    from homespun.tokenizer.make import build

    folder = work.folder / "base"
    if work.smoke:
        tokenizer = build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))
        config = GPTConfig.of(
            "llama", vocab_size=tokenizer.vocab_size, context_length=64, n_layer=1, n_head=2, n_embd=32
        )
        torch.manual_seed(0)
        save_model(folder, GPT(config), tokenizer)
    else:
        model, tokenizer, _ = open_model("smollm2")
        save_model(folder, model, tokenizer)
    return folder


BENCHMARK = Benchmark(
    "finetune_speed",
    "tokens a second of LoRA on SmolLM2-135M, against transformers + peft",
    measure,
    (
        Row(
            "finetune_speed",
            "LoRA on SmolLM2-135M, tokens a second, against `transformers` + `peft`",
            "times",
            must=1.5,
            aim=3,
        ),
    ),
    rounds=3,
    add_options=add_options,
)

if __name__ == "__main__":
    BENCHMARK.main()
