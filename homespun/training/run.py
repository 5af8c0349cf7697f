"""A run: carries out a plan and writes the run folder: best weights, metrics, curve, model card."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.place import WEIGHTS
from homespun.dataset.preparation import Dataset
from homespun.errors import MissingExtra, TrainingError, UsageError, WriteFailed
from homespun.machine.atomic import replacing_files, write_atomically
from homespun.machine.memory import peak_memory
from homespun.model.causal_lm import CausalLM
from homespun.model.config import ModelConfig
from homespun.model.gpt import build
from homespun.planning.base_plan import BasePlan
from homespun.planning.evaluations import final_evaluations
from homespun.planning.forecast import Forecast
from homespun.planning.plan import Plan
from homespun.planning.search import LONGER, enough_steps
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.card import model_card
from homespun.training.curve import draw_curve
from homespun.training.interrupt import StopRequest
from homespun.training.lock import held, whom
from homespun.training.loop import LR_BACKOFF, Diverged, Loop
from homespun.training.pace import Pace
from homespun.training.resume import FOLDER as RESUME_FOLDER
from homespun.training.resume import Point, Rhythm, folders, link_or_copy, newest_point, write_point
from homespun.training.watcher import Record, Result, Watcher

PLAN_FILE = "plan.toml"
METRICS_FILE = "metrics.jsonl"
METRICS_FORMAT = 1  # a line without a number is of format 1, too
CURVE_FILE = "curve.png"
CARD_FILE = "README.md"


class Run:
    """A training run: the plan with its dataset and tokenizer, the output folder, and the watcher.

    sample      generates a few lines with the current model; may be called after every evaluation
    started     time.monotonic() when the command began; the plan's minutes count from there
    forecast    the forecast of the plan, to be reported with the result
    resume      continue from the newest resume point in the folder, or start if there is none

    Subclasses that train or save something else override `make_model`, `make_loop`, `save`, `reopened`,
    `card` and the class attributes below.
    """

    plan_kind: type[BasePlan] = Plan
    weights_file = WEIGHTS  # the best weights, in the run folder
    final_samples = 1  # samples that are generated when the run has ended

    def __init__(
        self,
        plan: BasePlan,
        dataset: Dataset,
        tokenizer: Tokenizer,
        out: Path,
        *,
        title: str,
        watcher: Watcher,
        sample: Callable[[nn.Module], str],
        started: float,
        forecast: Forecast | None = None,
        tensorboard: bool = False,
        resume: bool = False,
    ) -> None:
        self.plan = plan
        self.dataset = dataset
        self.tokenizer = tokenizer
        self.out = out
        self.title = title
        self.watcher = watcher
        self.sample = sample
        self.started = self.command_started = started
        self.forecast = forecast
        self.tensorboard = tensorboard
        self.resume = resume
        self.stop = StopRequest()
        self.records: list[Record] = []
        self.rhythm = Rhythm()

    @property
    def best(self) -> Record | None:
        return min(self.records, key=lambda record: record.val_loss, default=None)

    def train(self) -> Result:
        """Train, and write the run folder. Ctrl-C or SIGTERM ends the run early but normally."""
        if not self.resume:
            claim(self.out, self.plan.verb())
        with (
            held(self.out),
            self.stop,
            telling_how_to_go_on(self.out, self.plan.verb(), self.watcher),
            open_board(self.out if self.tensorboard else None) as board,
        ):
            self.begin()
            self.watcher.planned(self.plan, self.out, self.parameters(), self.forecast)
            while True:
                try:
                    for record in self.loop.run():
                        self.take(record)
                        board(record)
                    break
                except Diverged as error:
                    self.go_back(error)
            self.write_point()
            interrupted = not self.loop.is_finished()
            if interrupted and self.loop.losses:
                self.take(self.loop.evaluate())  # after the point: a resumed run does not contain this evaluation
            result = self.result(interrupted)
            write_atomically(self.out / CURVE_FILE, draw_curve(self.records, self.title))
            write_atomically(self.out / CARD_FILE, self.card(result))
        self.watcher.finished(result)
        return result

    def begin(self, lr_backoff: bool = False) -> None:
        """Build the model and its training loop, from the newest resume point or from scratch.

        lr_backoff: the run has diverged, and continues with learning-rate backoff.
        """
        found = newest_point(self.out, self.plan_kind)
        step = 0
        if found is not None and found[0].step == 0:
            found = None  # no step was done before it: starting again is the same, and simpler
        if found is not None:
            point, state, best_weights = found
            self.records, step = list(point.records), point.step
            if len(self.plan.extended) <= len(point.plan.extended):
                self.plan = point.plan  # otherwise the run was extended after the point was written
            self.started = self.command_started - point.seconds
            self.put_back(best_weights)
        else:
            self.records = []
        if lr_backoff:
            self.plan = self.plan.with_(lr_backoff_from=step + 1)
        self.plan.save(self.out / PLAN_FILE)
        torch.manual_seed(self.plan.seed)
        self.model = self.make_model()
        self.loop = self.make_loop(
            watcher=self.watcher,
            pace=Pace(
                self.started,
                final_evaluations=self.final_evaluations(),
                final_samples=self.final_samples,
                most_steps=self.most_steps(),
            ),
            stop_asked=lambda: self.stop.asked,
            on_plan=self.settle,
            after_step=self.write_point_if_due,
        )
        if found is not None:
            self.loop.restore(state, step, point.losses, point.first_loss)
            self.watcher.note(f"going on after step {step:,}")

    def config(self) -> ModelConfig:
        assert isinstance(self.plan, Plan)
        return self.plan.config(self.tokenizer.vocab_size)

    def make_model(self) -> nn.Module:
        """The model before the first step."""
        return build(self.config()).to(self.plan.device)

    def make_loop(self, **asked: Any) -> Loop:
        return Loop(self.plan, self.model, self.dataset, **asked)

    def save(self) -> None:
        """Save the current weights to the folder."""
        assert isinstance(self.model, CausalLM)
        save_model(self.out, self.model, self.tokenizer)

    def reopened(self) -> nn.Module:
        """The model with the weights from the folder."""
        return load_model(self.out, device=self.plan.device)[0]

    def card(self, result: Result) -> str:
        assert isinstance(self.plan, Plan)
        return model_card(self.plan, result, self.dataset, self.title)

    def final_evaluations(self) -> float:
        """The time of the final evaluation, in units of one evaluation during the run."""
        return final_evaluations(self.plan, self.dataset.val.tokens)

    def most_steps(self) -> float:
        """Limit on steps even if there is time left. An extended run has none: its user wants more training."""
        config = self.config()
        if self.plan.extended:
            return math.inf
        return LONGER * enough_steps(config, self.plan.tokens_per_step, self.dataset.train.tokens)

    def put_back(self, best_weights: Path) -> None:
        """Restore the best weights of the resume point; a later evaluation may have replaced them."""
        with replacing_files(self.out, seal=self.weights_file) as stage:
            link_or_copy(best_weights, stage / self.weights_file)

    def take(self, record: Record) -> None:
        """Add a record, and save the weights if it is the best."""
        self.mend_folder()
        is_best = self.best is None or record.val_loss < self.best.val_loss
        self.records.append(record)
        if is_best:
            self.save()
        self.write_metrics()
        self.watcher.evaluated(record, is_best)
        pace = self.loop.pace
        if record.step and not self.stop.asked and not self.loop.is_finished() and pace.affords_a_sample():
            with pace.sampling():
                sample = self.sample(self.model)
            self.watcher.sampled(sample)

    def write_metrics(self, closing: Record | None = None) -> None:
        """Write a line for every evaluation, and one for the final evaluation if that used more tokens."""
        records = [*self.records, *([closing] if closing else [])]
        write_atomically(self.out / METRICS_FILE, "".join(map(json_line, records)))

    def write_point_if_due(self) -> None:
        if self.rhythm.is_due():
            self.write_point()

    def mend_folder(self) -> None:
        """Rebuild the folder from memory if somebody has removed it during the run."""
        if (self.out / PLAN_FILE).exists():
            return
        self.watcher.note(f"{self.out} was removed while the run went on; it is made anew")
        self.out.mkdir(parents=True, exist_ok=True)
        self.plan.save(self.out / PLAN_FILE)
        if self.records:  # the best weights were lost with the folder: the current ones replace them
            self.records = [self.loop.evaluate()]
            self.save()

    def write_point(self) -> None:
        self.mend_folder()
        began = time.monotonic()
        loop = self.loop
        point = Point(self.plan, loop.step, loop.pace.seconds(), loop.losses, self.records, loop.first_loss)
        write_point(self.out, point, self.loop.state(), self.out / self.weights_file)
        self.rhythm.written(began)

    def go_back(self, error: Diverged) -> None:
        """Go back to the last resume point with learning-rate backoff. TrainingError the second time."""
        if self.plan.lr_backoff_from:
            kept = (
                f" The best weights until then, of step {self.best.step}, are in {self.out}." if self.best else ""
            )
            raise TrainingError(error.what + kept, error.todo) from error
        self.begin(lr_backoff=True)
        self.watcher.note(
            f"{error.what} Back at step {self.loop.step:,}, with {LR_BACKOFF:g} of the learning rate."
        )

    def settle(self, plan: BasePlan) -> None:
        """Save a plan that the loop has changed, so that a replay has the same steps."""
        self.plan = plan
        plan.save(self.out / PLAN_FILE)
        self.watcher.changed(plan)

    def parameters(self) -> int:
        return self.config().number_of_parameters()

    def result(self, interrupted: bool) -> Result:
        """The result of the run: the best weights, evaluated on the whole validation split."""
        best = self.best
        assert best is not None, "the loop yields before its first step"
        model = self.reopened()
        found = self.loop.look(model) if interrupted else self.loop.read_all(model)
        if found.tokens != best.val_tokens:
            self.write_metrics(closing=best.read_again(found, seconds=round(self.loop.pace.seconds(), 3)))
        return Result(
            out=self.out,
            steps=self.loop.step,
            parameters=self.parameters(),
            val_loss=found.loss,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
            val_tokens=found.tokens,
            best_step=best.step,
            interrupted=interrupted,
            sample=self.sample(model),
            compiled=self.loop.is_compiled,
            step_seconds=self.loop.pace.one_step(),
            peak_memory=peak_memory(),
            forecast=self.forecast,
            seconds=round(time.monotonic() - self.started, 1),
        )


def claim(out: Path, verb: str = "train") -> None:
    """Create the folder of a new run. UsageError if it contains a run already, or other files."""
    if (out / PLAN_FILE).exists():
        raise UsageError(
            f"{out} holds a run already{whom(out)}.",
            f"Nothing is written over. To go on with that one:\n"
            f"homespun {verb} --out {shlex.quote(str(out))} --resume\n"
            "For a new one choose another folder with --out.",
        )
    # A run that was killed right after its start leaves only a resume folder.
    if out.is_dir() and any(path.name != RESUME_FOLDER for path in out.iterdir()):
        raise UsageError(f"{out} is not empty.", "Nothing is written over. Choose another folder with --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"The folder {out} cannot be made: {error.strerror}.", "Choose another one with --out."
        ) from error


@contextmanager
def telling_how_to_go_on(out: Path, verb: str, watcher: Watcher) -> Iterator[None]:
    """After a full disk or a second Ctrl-C, tell the user the command that resumes the run."""
    command = f"homespun {verb} --out {shlex.quote(str(out))} --resume"
    try:
        yield
    except KeyboardInterrupt:
        if folders(out):
            watcher.note(f"left at once; the run goes on from its last resume point with\n{command}")
        raise
    except WriteFailed as error:
        if not folders(out):
            raise
        raise WriteFailed(error.what, f"{error.todo} The run then goes on with\n{command}") from error


def json_line(record: Record) -> str:
    """One line of JSON. An infinite loss is null there: JSON has no word for it."""
    values = {"format": METRICS_FORMAT, **record.as_dict()}.items()
    return json.dumps({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values}) + "\n"


@contextmanager
def open_board(folder: Path | None) -> Iterator[Callable[[Record], None]]:
    """A function that also writes records for TensorBoard, if a folder is given. Raises MissingExtra."""
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
