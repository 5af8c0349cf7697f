"""Fits the law of homespun/planning/expected_loss.py to runs of our own, and makes such runs.

    python -m benchmarks.fit             fits, and prints the constants with how far off they are for each run
    python -m benchmarks.fit --run TEXT --layers 5 --heads 6 --width 192 --context 128 --sequences 32 --tokens 2e6
                                         trains, and adds a line to benchmarks/losses.jsonl

A line has the text's name, its tokens and what counting reaches on it, the shape, the tokens learnt from
and the loss on the validation text. Fitting is least squares on the logarithm of the loss
(Levenberg and Marquardt), with a weak pull of every constant towards what is known from elsewhere: a few
dozen runs of minutes cannot say where a run of a week would end.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from homespun.model.config import GPTConfig
from homespun.planning.expected_loss import LAW, Counted, Law, expected_loss

RUNS = Path(__file__).with_name("losses.jsonl")

# Where a constant is pulled to, and how many times as large or small it may well be.
KNOWN = {
    "floor": (0.70, 1.3),
    "size": (0.06, 2.0),
    "size_power": (0.35, 1.4),  # Hoffmann et al. 2022: 0.34
    "data": (0.20, 1.8),
    "data_power": (0.60, 1.5),  # they: 0.28, for runs ten thousand times as long
    "batch": (0.008, 2.0),
    "context": (0.75, 1.5),
    "again": (5.0, 1.5),  # Muennighoff et al. 2023 found 15 for large models and regularised ones
    "heart": (0.0015, 2.5),
    "heart_power": (2.0, 1.3),
    "drop_size": (0.5, 2.0),
    "drop_again": (3.0, 2.0),
    "drop_heart": (0.0002, 3.0),
    "drop_power": (4.0, 1.3),
    "static_power": (0.3, 2.0),
    "cache_power": (3.0, 2.0),
    "cache_tokens": (2.0, 2.0),
    "cache_size": (0.3, 2.0),
}
PULL = 0.02  # of one such factor, beside a run that is off by one percent


def read_runs() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def expected(run: dict[str, Any], law: Law) -> float:
    config = GPTConfig.of(
        "modern",
        vocab_size=run["vocab_size"],
        context_length=run["context_length"],
        n_layer=run["n_layer"],
        n_head=run["n_head"],
        n_embd=run["n_embd"],
        dropout=run.get("dropout", 0.0),
    )
    tokens_a_step = run["context_length"] * run["batch_size"]
    counted = Counted(min(run["ladder"]), run["static"], run["cached"])
    return expected_loss(config, run["steps"], tokens_a_step, run["train_tokens"], counted, law)


def misses(constants: np.ndarray, runs: list[dict[str, Any]]) -> np.ndarray:
    """How far off each run is, as a share; and then each constant from what is known."""
    law = law_of(constants)
    off = [math.log(expected(run, law) / run["val_loss"]) for run in runs]
    pulled = [
        PULL * (c - math.log(known)) / math.log(by)
        for c, (known, by) in zip(constants, KNOWN.values(), strict=True)
    ]
    return np.array(off + pulled)


def law_of(constants: np.ndarray, spread: float = 0.0) -> Law:
    """constants: logarithms, in the order of KNOWN."""
    return Law(**dict(zip(KNOWN, map(float, np.exp(constants)), strict=True)), spread=spread)


def fit(runs: list[dict[str, Any]], steps: int = 200) -> Law:
    """Least squares by Levenberg and Marquardt's method, from what is known."""
    constants = np.log([known for known, _ in KNOWN.values()])
    damping = 1e-2
    off = misses(constants, runs)
    for _ in range(steps):
        slopes = np.stack(
            [(misses(constants + 1e-4 * unit, runs) - off) / 1e-4 for unit in np.eye(len(constants))], 1
        )
        curvature = slopes.T @ slopes
        move = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -slopes.T @ off)
        tried = misses(constants + move, runs)
        if tried @ tried < off @ off:
            gained = off @ off - tried @ tried
            constants, off, damping = constants + move, tried, damping / 3
            if gained < 1e-10:
                break
        else:
            damping *= 4
    of_runs = off[: len(runs)]
    free = len(runs) / max(1, len(runs) - len(constants) / 2)  # half: the pull has its share in them
    return law_of(constants, spread=float(np.sqrt((of_runs**2).mean() * free)))


def show(law: Law, runs: list[dict[str, Any]]) -> None:
    for part in fields(Law):
        print(f"    {part.name}={getattr(law, part.name):.3g},")
    print()
    for run in runs:
        shape = f"{run['n_layer']} layers {run['n_embd']:>4} wide  context {run['context_length']:>4}"
        learnt = run["steps"] * run["context_length"] * run["batch_size"]
        found, times = expected(run, law), learnt / run["train_tokens"]
        off = f"{found:.3f} expected  {found / run['val_loss'] - 1:+.1%}"
        print(
            f"{run['text']:<20} {shape}  {learnt / 1e6:5.2f} M  {times:5.1f} times  {run['val_loss']:.3f}  {off}"
        )
    print(f"\nspread {law.spread:.1%}; in use now: {LAW.spread:.1%}")


def run_one(options: argparse.Namespace) -> None:
    """Trains one model with the library, as `homespun train` would, and writes down what came of it."""
    import tempfile

    import homespun
    from homespun.dataset.ngrams import ladder
    from homespun.dataset.preparation import prepare
    from homespun.text.sources import read

    shape = {
        "n_layer": options.layers,
        "n_head": options.heads,
        "n_embd": options.width,
        "context_length": options.context,
        "batch_size": options.sequences,
        **({"dropout": options.dropout} if options.dropout else {}),
    }
    steps = round(options.tokens / (options.context * options.sequences))
    with tempfile.TemporaryDirectory() as folder:
        run = homespun.train(
            options.run, steps=steps, tokenizer=options.tokenizer, out=Path(folder) / "run", settings=shape
        )
        dataset = prepare(read(options.run), run.tokenizer)
        counted = ladder(dataset.train.ids, dataset.val.ids, dataset.vocab_size)
    assert run.result is not None
    name = options.run if options.tokenizer == "auto" else f"{options.run} {options.tokenizer}"
    line = {
        "text": Path(name).name,
        "train_tokens": dataset.train.tokens,
        "vocab_size": dataset.vocab_size,
        "ladder": [round(loss, 4) for loss in counted.losses],
        "static": round(counted.static, 4),
        "cached": round(counted.cached, 4),
        **shape,
        "steps": steps,
        "val_loss": round(run.result.val_loss, 4),
    }
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", metavar="TEXT", help="train on that text first, and add the run to the others")
    parser.add_argument("--tokenizer", default="auto")
    for name, default in (("layers", 4), ("heads", 4), ("width", 128), ("context", 128), ("sequences", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--tokens", type=float, default=1e6, help="to learn from")
    options = parser.parse_args()
    if options.run:
        run_one(options)
    runs = read_runs()
    show(fit(runs), runs)


if __name__ == "__main__":
    main()
