"""A fine-tuning as a person sees it: its plan, and what came of it, before and after."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from homespun.cli.screens.live import Live, minutes, sample_panel, tell_of_the_folder, tell_what_to_try
from homespun.cli.screens.plain import program
from homespun.cli.screens.plan import LOSS_STYLE, computing, time_needed, times
from homespun.cli.screens.terminal import console as standard_output
from homespun.cli.screens.terminal import size_in_words
from homespun.finetuning.recipe import TuningResult
from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.log_lines import LogLines

WAYS = {
    "lora": "LoRA, rank {rank}: {trainable} of {parameters} parameters are trainable",
    "qlora": "QLoRA, rank {rank}: {trainable} of {parameters} parameters are trainable, the others in 4 bits",
    "full": "all {parameters} parameters are trainable",
}


def tuning_table(plan: TuningPlan, parameters: int, forecast: Forecast | None, folder: str) -> Table:
    """What will be tuned, how, and what it takes: a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("  model", plan.base)
    table.add_row("  way", way(plan, parameters))
    about = "about " if plan.minutes else ""
    rows = f"{plan.batch_size} rows of {plan.context_length} tokens"
    often = f": the text {times(forecast.epochs)}" if forecast else ""
    table.add_row("  training", f"{about}{plan.steps:,} steps of {rows}{often}")
    if plan.conversations:
        table.add_row("", "only the words of the assistant are targets")
    table.add_row("", f"{plan.optimizer}, learning rate {plan.learning_rate:g}, {', '.join(computing(plan))}")
    if forecast is not None:
        table.add_row("  time", time_needed(plan, forecast))
        table.add_row("  memory", f"about {size_in_words(forecast.memory)}")
    table.add_row("  folder", Text(folder, style="bold"))
    table.add_row()
    return table


def way(plan: TuningPlan, parameters: int) -> str:
    return WAYS[plan.method].format(
        rank=plan.rank, trainable=f"{plan.trainable_parameters:,}", parameters=f"{parameters:,}"
    )


class TuningLive(Live):
    """`with TuningLive() as watcher:` …"""

    def table(self, plan: BasePlan, parameters: int, forecast: Forecast | None, folder: str) -> Table:
        assert isinstance(plan, TuningPlan)
        return tuning_table(plan, parameters, forecast, folder)


class TuningLines(LogLines):
    """The same as plain lines."""

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        assert isinstance(plan, TuningPlan)
        about = "about " if plan.minutes else ""
        self.say(f"{plan.base}: {way(plan, parameters)}")
        self.say(f"{about}{plan.steps:,} steps of {plan.tokens_per_step:,} tokens each; the run is in {out}")
        if forecast is not None:
            self.say(f"memory: about {size_in_words(forecast.memory)}; the text {times(forecast.epochs)}")


def conclude(result: TuningResult, console: Console | None = None) -> None:
    """The end: before and after, on the user's text and on another one, samples, and what to do next."""
    console = standard_output() if console is None else console
    folder = shlex.quote(str(result.out))
    console.print(sample_panel(result.sample_before, "what it wrote before"))
    console.print(sample_panel(result.sample, "what it writes now"))
    console.print(before_and_after(result))
    console.print(f"  {result.steps:,} steps in {minutes(result.seconds)}")
    tell_of_the_folder(console, result)
    homespun = program()
    go_on = [(f"{homespun} finetune --out {folder} --resume", "go on where it was")] if result.interrupted else []
    examples = [
        *go_on,
        (f"{homespun} generate {folder}", "let it write"),
        (f"{homespun} chat {folder}", "talk to it"),
    ]
    if result.method != "full":
        examples.append((f"{homespun} export {folder} --to merged", "make a whole model of it"))
    tell_what_to_try(console, examples)


def before_and_after(result: TuningResult) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right"):
        table.add_column(justify=justify)
    table.add_row("", Text("before", style="dim"), Text("after", style="dim"))
    table.add_row(
        "  loss on your text, held out",
        f"{result.val_loss_before:.4f}",
        Text(f"{result.val_loss:.4f}", style=LOSS_STYLE),
    )
    table.add_row("  bits per byte of it", f"{result.bits_per_byte_before:.3f}", f"{result.bits_per_byte:.3f}")
    table.add_row("  bits per byte of a general text", f"{result.general_before:.3f}", f"{result.general:.3f}")
    return table
