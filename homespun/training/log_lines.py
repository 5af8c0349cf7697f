"""A watcher that prints plain log lines: for programs, notebooks, log files and pipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from homespun.fetch.progress import each_once
from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast
from homespun.training.watcher import Progress, Record, Result, Watcher


class LogLines(Watcher):
    """A line for every note and every evaluation, on standard error by default."""

    def __init__(self, to: TextIO | None = None) -> None:
        self.to = sys.stderr if to is None else to
        self.latest: Progress | None = None
        self.say_what_is_downloaded = each_once(self.say)

    def say(self, line: str) -> None:
        print(line, file=self.to, flush=True)

    def note(self, line: str) -> None:
        self.say(line)

    def downloaded(self, name: str, done: int, size: int) -> None:
        self.say_what_is_downloaded(name, done, size)

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        about = "about " if plan.minutes else ""
        steps = f"{about}{plan.steps:,} steps of {plan.tokens_per_step:,} tokens each"
        self.say(f"{parameters:,} parameters, {steps}; the run is in {out}")
        if forecast and forecast.loss:
            expected = forecast.loss
            self.say(
                f"expected loss {expected.loss:.2f}, most likely from {expected.low:.2f} to {expected.high:.2f}"
            )

    def stepped(self, progress: Progress) -> None:
        self.latest = progress

    def evaluated(self, record: Record, best: bool) -> None:
        of = f"/{self.latest.steps:,}" if self.latest and self.latest.steps else ""
        train = f"train {record.train_loss:.4f}  " if record.train_loss is not None else ""
        left = time_left(self.latest.seconds_left) if self.latest else ""
        share = in_percent(self.latest.mfu) if self.latest else ""
        self.say(
            f"step {record.step:,}{of}  {train}validation {record.val_loss:.4f}  "
            f"{record.tokens_per_second:,.0f} tokens/s{share}{left}"
        )

    def finished(self, result: Result) -> None:
        end = "interrupted" if result.interrupted else "done"
        share = in_percent(result.mfu)
        self.say(
            f"{end} after {result.seconds:,.0f} s: loss {result.val_loss:.4f} at step {result.best_step:,}{share}"
        )


class Noted(Watcher):
    """Prints nothing and keeps the notes, each once: for those who show them in a place of their own."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


def time_left(seconds: float | None) -> str:
    """Format the time left as minutes and seconds.

    >>> time_left(75.2), time_left(None)
    ('  1:15 left', '')
    """
    if seconds is None or seconds <= 0:
        return ""
    return f"  {int(seconds) // 60}:{int(seconds) % 60:02d} left"


def in_percent(mfu: float) -> str:
    """Model FLOPs utilisation as it stands behind a speed; nothing where it is not known.

    >>> in_percent(0.412), in_percent(0.0)
    ('  41% MFU', '')
    """
    return f"  {mfu:.0%} MFU" if mfu else ""
