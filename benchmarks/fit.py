"""Fits the law of homespun/planning/expected_loss.py to runs of our own, makes such runs, and cross-validates it.

    python -m benchmarks.fit                   fits, and prints the constants and the error of each run
    python -m benchmarks.fit --cross-validate  predicts runs that were left out, with this law and with others
    python -m benchmarks.fit --run TEXT --layers 5 --heads 6 --width 192 --context 128 --sequences 32 --tokens 2e6
                                               trains, and adds a line to benchmarks/losses.jsonl

A line has the text's name, its tokens and n-gram baselines, the shape, the steps and the loss on the validation
text. The laws and the fit are in benchmarks/laws.py.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cross_validation import rms, table
from benchmarks.laws import CANDIDATES, IN_USE, Constants, Run, fit
from homespun.model.config import GPTConfig
from homespun.model.size import matrix_entries
from homespun.planning.expected_loss import LAW, Counted

RUNS = Path(__file__).with_name("losses.jsonl")


def read_runs() -> list[Run]:
    return [run_of(json.loads(line)) for line in RUNS.read_text(encoding="utf-8").splitlines()]


def run_of(line: dict[str, Any]) -> Run:
    shape = ("vocab_size", "context_length", "n_layer", "n_head", "n_embd")
    config = GPTConfig.of("modern", **{name: line[name] for name in shape}, dropout=line.get("dropout", 0.0))
    tokens_per_step = line["context_length"] * line["batch_size"]
    return Run(
        text=line["text"],
        config=config,
        counted=Counted(min(line["ladder"]), line["static"], line["cached"]),
        parameters=config.n_layer * matrix_entries(config) / 1e6,
        tokens=line["steps"] * tokens_per_step / 1e6,
        batch=tokens_per_step / 1e6,
        steps=line["steps"],
        train_tokens=line["train_tokens"],
        loss=line["val_loss"],
    )


def error(constants: Constants, run: Run) -> float:
    return float(np.log(IN_USE.predict(constants, run) / run.loss))


def show(constants: Constants, runs: list[Run]) -> None:
    for name, value in constants.items():
        print(f"    {name}={value:.3g},")
    print()
    for run in runs:
        found, config = IN_USE.predict(constants, run), run.config
        shape = f"{config.n_layer} layers {config.n_embd:>4} wide  context {config.context_length:>4}"
        print(
            f"{run.text:<26} {shape}  {run.tokens:5.2f} M tokens  {run.epochs:5.1f} epochs  {run.loss:.3f}  "
            f"{found:.3f} expected  {found / run.loss - 1:+.1%}"
        )
    print(f"\nRMS error of the fit {rms(np.array([error(constants, run) for run in runs])):.1%}")


def cross_validate(runs: list[Run]) -> None:
    for line in table(CANDIDATES, runs):
        print(line, flush=True)
    print(f"\nspread in use: {LAW.spread:.1%}")


def run_one(options: argparse.Namespace) -> None:
    """Trains one model with the library, as `homespun train` does, and records the result."""
    import tempfile

    import homespun
    from homespun.dataset.ngrams import ngram_baselines
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
        counted = ngram_baselines(dataset.train.ids, dataset.val.ids, dataset.vocab_size)
    assert run.result is not None
    if run.result.steps != steps or not math.isfinite(run.result.val_loss):
        raise SystemExit(f"Not added: {run.result.steps} steps of {steps}, loss {run.result.val_loss}.")
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
    parser.add_argument("--cross-validate", action="store_true", help="predict runs that were left out")
    parser.add_argument("--run", metavar="TEXT", help="train on that text first, and add the run to the others")
    parser.add_argument("--tokenizer", default="auto")
    for name, default in (("layers", 4), ("heads", 4), ("width", 128), ("context", 128), ("sequences", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--tokens", type=float, default=1e6, help="to train on")
    options = parser.parse_args()
    if options.run:
        run_one(options)
    runs = read_runs()
    if options.cross_validate:
        cross_validate(runs)
    else:
        show(fit(IN_USE, runs), runs)


if __name__ == "__main__":
    main()
