"""Training as a person sees it in a terminal: the plan, a line an evaluation, a bar, now and then a sample."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from homespun.cli.screens.plain import program, visible
from homespun.cli.screens.plan import LOSS_STYLE, plan_table
from homespun.cli.screens.terminal import console as standard_output
from homespun.fetch.progress import how_far
from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast
from homespun.planning.plan import Plan
from homespun.training.log_lines import in_percent
from homespun.training.watcher import Progress as Step
from homespun.training.watcher import Record, Result, Watcher


class Live(Watcher):
    """`with Live() as watcher:` … the bar is gone when the block ends."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = standard_output() if console is None else console
        self.bar = Progress(
            TextColumn(" "),
            BarColumn(bar_width=None, complete_style="dark_orange", finished_style="dark_orange"),
            TextColumn("{task.fields[about]}", markup=True),
            Left(),
            console=self.console,
            transient=True,
        )
        self.task: TaskID | None = None
        self.has_shown_plan = False
        self.smooth: float | None = None

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def note(self, line: str) -> None:
        self.console.print(Padding(Text(line, style="dim"), (0, 2)))

    def downloaded(self, name: str, done: int, size: int) -> None:
        self.show_bar(done, size or None, escape(visible(how_far(name, done, size))))
        if done == size:
            self.drop_bar()

    def prepared(self, done: int, total: int) -> None:
        self.show_bar(done, total, f"preparing the text, {done:,} of {total:,} characters")

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        self.drop_bar()
        if not self.has_shown_plan:
            self.console.print(self.table(plan, parameters, forecast, str(out)))
            self.console.print(Text("    step      tokens   training   validation", style="dim"))
        self.has_shown_plan = True

    def table(self, plan: BasePlan, parameters: int, forecast: Forecast | None, folder: str) -> Table:
        """The plan as a person reads it."""
        assert isinstance(plan, Plan)
        return plan_table(plan, parameters, forecast, folder)

    def stepped(self, progress: Step) -> None:
        # A single batch is easy or hard by chance: the bar shows what it tends to.
        recent = progress.train_loss if self.smooth is None else self.smooth
        self.smooth = recent + 0.05 * (progress.train_loss - recent)
        about = f"loss [{LOSS_STYLE}]{self.smooth:.3f}[/]  {progress.tokens_per_second:,.0f} tokens/s"
        about += in_percent(progress.mfu)
        self.show_bar(progress.step, progress.steps or None, about, progress.seconds_left)

    def evaluated(self, record: Record, best: bool) -> None:
        line = Text(f"  {record.step:>6,}  {record.tokens:>10,}   ")
        line.append(f"{record.train_loss:8.4f}" if record.train_loss is not None else " " * 8)
        line.append("     ")
        line.append(f"{record.val_loss:8.4f}", style=LOSS_STYLE if best else "")
        if record.step == 0:
            line.append("   before training", style="dim")
        elif not best:
            line.append("   no better: the weights of the best one are kept", style="dim")
        self.console.print(line)

    def sampled(self, text: str) -> None:
        self.console.print(sample_panel(text, "what it writes now"))

    def show_bar(self, done: int, total: int | None, about: str, left: float | None = None) -> None:
        if self.task is None:
            self.task = self.bar.add_task("", total=total, about=about, left=left)
        self.bar.update(self.task, completed=done, total=total, about=about, left=left)

    def drop_bar(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None


class Left(ProgressColumn):
    """The time that is left, as the run itself reckons it."""

    def render(self, task: Task) -> Text:
        left = task.fields.get("left")
        if left is None:
            return Text("")
        return Text(f"{int(left) // 60}:{int(left) % 60:02d} left", style="cyan")


def sample_panel(text: str, title: str) -> Panel:
    return Panel(Text(visible(text)), title=title, title_align="left", border_style="dim", padding=(0, 1))


def conclude(result: Result, console: Console | None = None) -> None:
    """The end of a run: the loss, a sample, the folder, and what to do next."""
    console = standard_output() if console is None else console
    folder = shlex.quote(str(result.out))
    console.print(sample_panel(result.sample, "what it writes"))
    line = Text("  loss ")
    line.append(f"{result.val_loss:.4f}", style=LOSS_STYLE)
    line.append(f" on text it has never seen; {result.bits_per_char:.3f} bits per character")
    console.print(line)
    console.print(
        f"  {result.steps:,} steps in {minutes(result.seconds)}, {result.parameters:,} parameters"
        + in_percent(result.mfu)
    )
    tell_of_the_folder(console, result)
    homespun = program()
    go_on = ((f"{homespun} train --out {folder} --resume", "go on where it was"),) if result.interrupted else ()
    examples = (
        *go_on,
        (f"{homespun} generate {folder}", "let it write"),
        (f"{homespun} evaluate {folder}", "measure it"),
        (f"{homespun} train YOUR-TEXT.txt", "make one of your own text"),
    )
    tell_what_to_try(console, examples)


def tell_of_the_folder(console: Console, result: Result) -> None:
    """Which weights are in it, and whether they are those of the end."""
    if result.best_step != result.steps:
        console.print(f"  kept are the best weights, those of step {result.best_step:,}")
    console.print(Text("  folder ").append(str(result.out), style="bold"))
    if result.interrupted:
        console.print("  It was interrupted; the best weights so far are in the folder.", style="yellow")


def tell_what_to_try(console: Console, examples: Sequence[tuple[str, str]]) -> None:
    """examples: commands, and what each is for."""
    console.print("\n  Now try:\n")
    width = max(len(example) for example, _ in examples)
    for example, about in examples:
        console.print(
            Text(f"    {example:{width}}", style="bold").append(f"   {about}", style="not bold dim"),
            soft_wrap=True,
        )
    console.print()


def minutes(seconds: float) -> str:
    """
    >>> minutes(42.4), minutes(121)
    ('42 seconds', '2:01 minutes')
    """
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    whole = math.floor(seconds + 0.5)
    return f"{whole // 60}:{whole % 60:02d} minutes"
