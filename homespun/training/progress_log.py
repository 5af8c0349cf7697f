"""progress.jsonl and samples.jsonl: what a run says while it goes on, in its folder, for whoever watches it.

A line is appended with one write, and the file is not flushed to disk: after a power cut the end may be missing,
and the resume points know better. A line that cannot be written is left out: nothing of the run depends on it.

{"type": "begin", "time": …, "step": 0, "steps": 600, "process": 4711}   a process begins, or goes on with, the run
{"type": "step", "step": 12, "loss": 3.1, "tokens_per_second": …}        loss: the mean since the line before
{"type": "note", "text": "going on after step 300"}
{"type": "end", "how": "finished"}                                       or stopped, failed, diverged
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from homespun.errors import HomespunError
from homespun.machine.atomic import write_atomically
from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast
from homespun.training.watcher import Progress, Record, Result, Watcher

PROGRESS_FILE = "progress.jsonl"
SAMPLES_FILE = "samples.jsonl"
# Seconds between two lines: often for as long as somebody may be watching all the time; an hour's file has 1 MB.
OFTEN, OFTEN_FOR, LATER = 0.25, 600.0, 1.0


class ProgressLog(Watcher):
    """A watcher that writes into the folder `out` what it passes on to `to`, while `begun` lasts.

    is_writer: whether this process writes: one of those that compute a run does.
    """

    def __init__(self, out: Path, to: Watcher, *, is_writer: bool = True) -> None:
        self.out = out
        self.to = to
        self.is_writer = is_writer
        self.is_open = False
        self.is_finished = False
        self.step = 0
        self.losses: list[float] = []
        self.began = self.written = time.monotonic()

    # ---- the course of a run ----

    @contextmanager
    def begun(self) -> Iterator[None]:
        """While the block runs, lines are written; the last says how it ended."""
        self.is_open = True
        self.began = time.monotonic()
        ending: dict[str, Any] = {"how": "failed", "text": ""}
        try:
            yield
            ending = {"how": "finished" if self.is_finished else "stopped"}
        except KeyboardInterrupt:
            ending = {"how": "stopped"}
            raise
        except HomespunError as error:
            ending = {"how": "diverged" if is_divergence(error) else "failed", "text": str(error)}
            raise
        except BaseException as error:
            ending = {"how": "failed", "text": f"{type(error).__name__}: {error}"}
            raise
        finally:
            self.write("end", step=self.step, **ending)
            self.is_open = False

    def begins_at(self, step: int, steps: int) -> None:
        """The run begins, or goes on, behind that step. Samples of later ones are removed: they are made again."""
        self.step, self.losses = step, []
        self.forget_samples_after(step)
        self.write("begin", step=step, steps=steps, process=os.getpid())

    # ---- what a watcher hears ----

    def note(self, line: str) -> None:
        self.write("note", step=self.step, text=line)
        self.to.note(line)

    def downloaded(self, name: str, done: int, size: int) -> None:
        self.to.downloaded(name, done, size)

    def prepared(self, done: int, total: int) -> None:
        self.to.prepared(done, total)

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        self.to.planned(plan, out, parameters, forecast)

    def changed(self, plan: BasePlan) -> None:
        self.to.changed(plan)

    def stepped(self, progress: Progress) -> None:
        self.step = progress.step
        self.losses.append(progress.train_loss)
        now = time.monotonic()
        between = OFTEN if now - self.began < OFTEN_FOR else LATER
        if now - self.written >= between or progress.step >= progress.steps:
            self.written = now
            loss, self.losses = math.fsum(self.losses) / len(self.losses), []
            self.write(
                "step",
                step=progress.step,
                steps=progress.steps,
                tokens=progress.tokens,
                loss=round(loss, 5),
                lr=progress.lr,
                tokens_per_second=round(progress.tokens_per_second, 1),
                seconds=round(progress.seconds, 2),
                seconds_left=None if progress.seconds_left is None else round(progress.seconds_left, 1),
            )
        self.to.stepped(progress)

    def evaluated(self, record: Record, best: bool) -> None:
        self.to.evaluated(record, best)

    def sampled(self, text: str) -> None:
        self.to.sampled(text)

    def finished(self, result: Result) -> None:
        self.is_finished = not result.interrupted
        self.to.finished(result)

    # ---- files ----

    def keep_sample(self, record: Record, text: str, prompt: str = "") -> None:
        """A line of samples.jsonl: what the weights of that evaluation generate after the prompt."""
        line = {"step": record.step, "tokens": record.tokens, "seconds": record.seconds}
        self.append(SAMPLES_FILE, line | {"prompt": prompt, "text": text})

    def forget_samples_after(self, step: int) -> None:
        path = self.out / SAMPLES_FILE
        if not (self.is_writer and path.is_file()):
            return
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if step_of(line) <= step]
        if kept != lines:
            write_atomically(path, "".join(kept))

    def write(self, kind: str, **values: Any) -> None:
        if self.is_open:
            self.append(PROGRESS_FILE, {"type": kind, "time": round(time.time(), 3), **values})

    def append(self, name: str, line: dict[str, Any]) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        data = (json.dumps(finite, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        if not self.is_writer:
            return
        try:
            # Opened for each line: the folder may be removed and made anew meanwhile.
            with (self.out / name).open("ab", buffering=0) as file:
                file.write(data)
        except OSError:
            return  # a full disk, or no folder: the resume points report that


def step_of(line: str) -> int:
    """Of a line of samples.jsonl; a line that is none counts as later than all."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, LookupError):
        return 2**63


def is_divergence(error: HomespunError) -> bool:
    from homespun.training.loop import Diverged

    return isinstance(error, Diverged) or isinstance(error.__cause__, Diverged)
