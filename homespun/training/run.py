"""A run: a plan is carried out, and the run folder filled: the best weights, the metrics, the curve, the card."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from homespun.checkpoint import load_model, save_model, write_atomically
from homespun.dataset import Dataset
from homespun.errors import MissingExtra, TrainingError, UsageError
from homespun.model import build, number_of_parameters
from homespun.tokenizer import Tokenizer
from homespun.training.card import model_card
from homespun.training.curve import draw_curve
from homespun.training.interrupt import StopRequest
from homespun.training.loop import Loop
from homespun.training.pace import Pace
from homespun.training.plan import Plan
from homespun.training.watcher import Record, Result, Watcher

PLAN_FILE = "plan.toml"
METRICS_FILE = "metrics.jsonl"
CURVE_FILE = "curve.png"
CARD_FILE = "README.md"


@dataclass
class Run:
    """What is needed to train: the plan and what it was made for, where it goes, and who watches.

    sample      writes a few lines with the model as it is; asked after every evaluation
    started     time.monotonic() when the command began; the plan's minutes count from there
    """

    plan: Plan
    dataset: Dataset
    tokenizer: Tokenizer
    out: Path
    title: str
    watcher: Watcher
    sample: Callable[[nn.Module], str]
    started: float
    tensorboard: bool = False

    def train(self) -> Result:
        """Trains, and leaves the run folder. Ends early, and in order, on Ctrl-C or SIGTERM."""
        claim(self.out)
        self.plan.save(self.out / PLAN_FILE)
        torch.manual_seed(self.plan.seed)
        model = build(self.plan.config(self.tokenizer.vocab_size)).to(self.plan.device)
        self.watcher.planned(self.plan, self.out, self.parameters())
        with StopRequest() as stop, open_board(self.out if self.tensorboard else None) as board:
            loop = Loop(
                self.plan,
                model,
                self.dataset,
                watcher=self.watcher,
                pace=Pace(self.started, self.dataset.train.tokens, self.dataset.val.tokens),
                stop_asked=lambda: stop.asked,
                on_plan=self.settle,
            )
            records: list[Record] = []
            best: Record | None = None
            try:
                for record in loop.run():
                    records.append(record)
                    write_atomically(self.out / METRICS_FILE, "".join(map(json_line, records)))
                    board(record)
                    is_best = best is None or record.val_loss < best.val_loss
                    if is_best:
                        best = record
                        save_model(self.out, model, self.tokenizer)
                    self.watcher.evaluated(record, is_best)
                    if record.step and not stop.asked and record.step != loop.plan.steps:
                        self.watcher.sampled(self.sample(model))
            except TrainingError as error:
                if best is None:
                    raise
                kept = f"The best weights until then, of step {best.step}, are in {self.out}."
                raise TrainingError(f"{error.what} {kept}", error.todo) from error
            assert best is not None, "the loop yields before its first step"
            result = Result(
                out=self.out,
                steps=loop.step,
                seconds=round(time.monotonic() - self.started, 1),
                parameters=self.parameters(),
                val_loss=best.val_loss,
                bits_per_char=best.bits_per_char,
                bits_per_byte=best.bits_per_byte,
                best_step=best.step,
                interrupted=stop.asked,
                sample=self.sample(load_model(self.out)[0]),
            )
            write_atomically(self.out / CURVE_FILE, draw_curve(records, self.title))
            write_atomically(self.out / CARD_FILE, model_card(self.plan, result, self.dataset, self.title))
        self.watcher.finished(result)
        return result

    def settle(self, plan: Plan) -> None:
        """The loop has found out how many steps fit: the folder's plan says so, and replays them."""
        self.plan = plan
        plan.save(self.out / PLAN_FILE)
        self.watcher.planned(plan, self.out, self.parameters())

    def parameters(self) -> int:
        return number_of_parameters(self.plan.config(self.tokenizer.vocab_size))


def claim(out: Path) -> None:
    """Makes the folder of a new run. UsageError where a run is in it already, or something else is."""
    if out.is_dir() and any(out.iterdir()):
        is_run = (out / PLAN_FILE).exists()
        raise UsageError(
            f"{out} holds a run already." if is_run else f"{out} is not empty.",
            "Nothing is written over. Choose another folder with --out, or remove this one.",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The folder {out} cannot be made: {error.strerror}.", "Choose another one with --out."
        ) from error


def json_line(record: Record) -> str:
    """One line of JSON. An infinite loss is null there: JSON has no word for it."""
    values = record.as_dict().items()
    return json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values}) + "\n"


@contextmanager
def open_board(folder: Path | None) -> Iterator[Callable[[Record], None]]:
    """Writes the records for TensorBoard, too, where a folder is given. Raises MissingExtra."""
    if folder is None:
        yield lambda record: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("--tensorboard", "tensorboard") from error

    writer = SummaryWriter(str(folder / "tensorboard"))

    def add(record: Record) -> None:
        for name, value in record.as_dict().items():
            if value is not None and name not in ("step", "tokens"):
                writer.add_scalar(name, value, record.step)

    try:
        yield add
    finally:
        writer.close()
