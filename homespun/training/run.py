"""A run: carries out a plan and writes the run folder: best weights, metrics, curve, model card."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Generic, cast

import torch
from torch import Tensor

from homespun.checkpoint import embedding_history
from homespun.errors import MissingExtra, TrainingError, UsageError, WriteFailed
from homespun.machine.accelerator import peak_memory_on, use_tensor_cores
from homespun.machine.atomic import replacing_files, write_atomically, write_json
from homespun.machine.memory import peak_memory
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.planning.forecast import Forecast
from homespun.training.clock import RunClock
from homespun.training.curve import draw_curve
from homespun.training.interrupt import StopRequest
from homespun.training.lock import held, whom
from homespun.training.loop import LR_BACKOFF, Diverged, Loop
from homespun.training.objective import P
from homespun.training.progress_log import ProgressLog
from homespun.training.recipe import R, Recipe
from homespun.training.resume import FOLDER as RESUME_FOLDER
from homespun.training.resume import Point, Rhythm, folders, link_or_copy, newest_point, point_of, write_point
from homespun.training.same_run import check_same_run
from homespun.training.watcher import Record, Result, Watcher
from homespun.training.world import OneProcess, World

PLAN_FILE = "plan.toml"
METRICS_FILE = "metrics.jsonl"
METRICS_FORMAT = 1  # a line without a number is of format 1, too
FORECAST_FILE = "forecast.json"  # of the run's first plan; an extension has none
CURVE_FILE = "curve.png"
CARD_FILE = "README.md"


class Run(Generic[P, R]):
    """A training run: a plan and a recipe, the output folder, and the watcher.

    recipe      what is trained, on what, and what the folder holds
    sample      generates a few lines with the current model; may be called after every evaluation
    started     time.monotonic() when the command began; the plan's minutes count from there
    forecast    the forecast of the plan, to be reported with the result
    resume      continue from the newest resume point in the folder, or start if there is none
    world       the processes that compute the run, and their agreement
    """

    def __init__(
        self,
        plan: P,
        recipe: Recipe[P, R],
        out: Path,
        *,
        watcher: Watcher,
        sample: Callable[[CausalLM], str],
        started: float,
        forecast: Forecast | None = None,
        tensorboard: bool = False,
        resume: bool = False,
        world: World | None = None,
    ) -> None:
        self.plan = plan
        self.recipe = recipe
        self.out = out
        self.world: World = world or OneProcess()
        self.is_writer = self.world.rank == 0
        self.log = ProgressLog(out, watcher, is_writer=self.is_writer)
        self.watcher: Watcher = self.log
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

    def train(self) -> R:
        """Train, and write the run folder. Ctrl-C or SIGTERM ends the run early but normally.

        Of several processes, rank 0 alone holds and writes the folder; the others return its result without a
        sample.
        """
        self.world.share_cores()
        if self.plan.deterministic_reduction:
            torch.set_num_threads(1)  # the number of threads changes how sums are rounded
        check_same_run(self.world, self.plan, self.recipe.objective)
        if self.is_writer and not self.resume:
            claim(self.out, self.plan.verb())
        with (
            held(self.out) if self.is_writer else nullcontext(),
            self.stop,
            telling_how_to_go_on(self.out, self.plan.verb(), self.watcher),
            open_board(self.out if self.tensorboard and self.is_writer else None) as board,
            self.log.begun(),
        ):
            self.begin()
            parameters = self.recipe.parameters(self.plan, self.model)
            if self.forecast is not None and self.is_writer:
                write_json(self.out / FORECAST_FILE, self.forecast.as_object())
            self.watcher.planned(self.plan, self.out, parameters, self.forecast)
            while True:
                try:
                    for record in self.loop.run():
                        self.add(record)
                        board(record)
                    break
                except Diverged as error:
                    self.go_back(error)
            self.write_point()
            interrupted = not self.loop.is_finished()
            if interrupted and self.loop.losses:
                self.add(self.loop.evaluate())  # after the point: a resumed run does not contain this evaluation
            result = self.result(interrupted)
            if self.is_writer:
                self.finish(result)
        return result

    def finish(self, result: R) -> None:
        """Write what the folder has of a run that has ended."""
        if self.best is not None:
            self.log.keep_sample(self.best, result.sample)
        write_atomically(self.out / CURVE_FILE, draw_curve(self.records, self.recipe.title))
        write_atomically(self.out / CARD_FILE, self.recipe.card(self.plan, result))
        self.watcher.finished(result)

    def begin(self, lr_backoff: bool = False) -> None:
        """Build the model and its training loop, from the newest resume point or from scratch.

        lr_backoff: the run has diverged, and continues with learning-rate backoff.
        """
        found = self.newest_point()
        step = 0
        if found is not None and found[0].step == 0:
            found = None  # no step was done before it: starting again is the same, and simpler
        if found is not None:
            point, state = found
            self.records, step = list(point.records), point.step
            if len(self.plan.extended) <= len(point.plan.extended):
                # Otherwise the run was extended after the point was written. It may be on another device now.
                here = {name: getattr(self.plan, name) for name in ("device", "dtype")}
                self.plan = point.plan.with_(**here)
            self.started = self.command_started - point.seconds
        else:
            self.records = []
        if lr_backoff:
            self.plan = self.plan.with_(lr_backoff_from=step + 1)
        if self.is_writer:
            self.plan.save(self.out / PLAN_FILE)
            self.log.begins_at(step, self.plan.steps)
            embedding_history.forget_others(self.out, {record.step for record in self.records})
        torch.manual_seed(self.plan.seed)
        use_tensor_cores(self.plan.device)
        self.model = self.recipe.build(self.plan)
        self.followed = self.recipe.followed(self.plan, self.model)
        self.loop: Loop[P] = Loop(
            self.plan,
            self.model,
            self.recipe.objective(self.plan),
            watcher=self.watcher,
            clock=RunClock(
                self.started,
                final_evaluations=self.recipe.final_evaluations(self.plan),
                final_samples=self.recipe.final_samples,
                most_steps=self.recipe.most_steps(self.plan),
            ),
            world=self.world,
            stop_asked=lambda: self.stop.asked,
            on_plan=self.plan_changed,
            after_step=self.write_point_if_due,
        )
        if found is not None:
            self.loop.restore(state, step, point.losses, point.first_loss)
            self.watcher.note(f"going on after step {step:,}")

    def newest_point(self) -> tuple[Point[P], dict[str, Tensor]] | None:
        """The newest resume point of the folder, which rank 0 reads. Its best weights are put back."""
        found = newest_point(self.out, self.recipe.plan_type) if self.is_writer else None
        content = self.world.agree(found[0].as_object() if found else None)
        if content is None:
            return None
        if found is not None and found[0].step:
            self.put_back(found[2])
        point = found[0] if found else point_of(content, self.recipe.plan_type, "the plan of rank 0")
        return point, self.world.agree_on_tensors(found[1] if found else {})

    def put_back(self, best_weights: Path) -> None:
        """Restore the best weights of the resume point; a later evaluation may have replaced them."""
        with replacing_files(self.out, seal=self.recipe.weights_file) as stage:
            link_or_copy(best_weights, stage / self.recipe.weights_file)

    def add(self, record: Record) -> None:
        """Add a record, and save the weights if it is the best."""
        self.mend_folder()
        is_best = self.best is None or record.val_loss < self.best.val_loss
        self.records.append(record)
        if not self.is_writer:
            return
        if is_best:
            self.recipe.save(self.out, self.plan, self.model)
        self.write_metrics()
        self.write_embedding(record.step)
        self.watcher.evaluated(record, is_best)
        clock = self.loop.clock
        if record.step and not self.stop.asked and not self.loop.is_finished() and clock.affords_a_sample():
            with clock.sampling():
                sample = self.sample(self.model)
            self.log.keep_sample(record, sample)
            self.watcher.sampled(sample)

    def write_metrics(self, closing: Record | None = None) -> None:
        """Write a line for every evaluation, and one for the final evaluation if that used more tokens."""
        records = [*self.records, *([closing] if closing else [])]
        write_atomically(self.out / METRICS_FILE, "".join(map(json_line, records)))

    def write_embedding(self, step: int) -> None:
        """Write the embedding after an evaluation, unless this one comes too soon after the one before it."""
        if not len(self.followed):
            return
        before = self.records[-2].step if len(self.records) > 1 else -1
        files = embedding_history.MOST_FILES
        if before < 0 or step * files // max(1, self.plan.steps) > before * files // max(1, self.plan.steps):
            assert isinstance(self.model, GPT)
            weight = self.model.token_embedding.weight
            embedding_history.write_embedding(self.out, step, self.followed, weight)

    def write_point_if_due(self) -> None:
        if self.world.agree(self.rhythm.is_due()):
            self.write_point()

    def mend_folder(self) -> None:
        """Rebuild the folder from memory if somebody has removed it during the run."""
        if self.world.first((self.out / PLAN_FILE).exists):
            return
        if self.is_writer:
            self.watcher.note(f"{self.out} was removed while the run went on; it is made anew")
            self.out.mkdir(parents=True, exist_ok=True)
            self.plan.save(self.out / PLAN_FILE)
        if self.records:  # the best weights were lost with the folder: the current ones replace them
            self.records = [self.loop.evaluate()]
            if self.is_writer:
                self.recipe.save(self.out, self.plan, self.model)

    def write_point(self) -> None:
        self.mend_folder()
        began = time.monotonic()
        loop = self.loop
        point = Point(self.plan, loop.step, loop.clock.seconds(), loop.losses, self.records, loop.first_loss)
        state = loop.state()
        if self.is_writer:
            write_point(self.out, point, state, self.out / self.recipe.weights_file)
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

    def plan_changed(self, plan: P) -> None:
        """Save a plan that the loop has changed, so that a replay has the same steps."""
        self.plan = plan
        if self.is_writer:
            plan.save(self.out / PLAN_FILE)
        self.watcher.changed(plan)

    def result(self, interrupted: bool) -> R:
        """The result of the run: the best weights, evaluated on the whole validation split."""
        best = self.best
        assert best is not None, "the loop yields before its first step"
        model = self.recipe.reopened(self.out, self.plan, self.model) if self.is_writer else self.model
        found = self.loop.evaluation(model) if interrupted else self.loop.final_evaluation(model)
        if found.tokens != best.val_tokens and self.is_writer:
            self.write_metrics(closing=best.read_again(found, seconds=round(self.loop.clock.seconds(), 3)))
        result = Result(
            out=self.out,
            steps=self.loop.step,
            parameters=self.recipe.parameters(self.plan, self.model),
            val_loss=found.loss,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
            val_tokens=found.tokens,
            best_step=best.step,
            interrupted=interrupted,
            sample=self.sample(model) if self.is_writer else "",
            compiled=self.loop.is_compiled,
            step_seconds=self.loop.clock.one_step(),
            peak_memory=peak_memory_on(self.plan.device) or peak_memory(),
            forecast=self.forecast,
            mfu=self.loop.mfu(),
            seconds=round(time.monotonic() - self.started, 1),
        )
        return self.recipe.result(result, self.plan, model, self.records[0]) if self.is_writer else cast(R, result)


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
