"""A plan as a person reads it: what will be trained, how long it takes, what loss is to be expected and normal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from homespun.cli.screens.terminal import size_in_words
from homespun.model.families import MODELS
from homespun.planning.base_plan import BasePlan
from homespun.planning.facts import Facts
from homespun.planning.forecast import Forecast
from homespun.planning.plan import Plan

LOSS_STYLE = "bold dark_orange"
NUMBERS = ("none", "one", "two", "three", "four", "five")
ALWAYS_COUNTED = 3  # n-gram models that are shown whatever the best one is


def plan_table(plan: Plan, parameters: int, forecast: Forecast | None, folder: str | None = None) -> Table:
    """What will be trained, how, and what to expect of it: a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    table.add_row("  model", f"{plan.model}, {shape(plan)}")
    table.add_row("", f"{parameters:,} parameters")
    table.add_row("  training", training(plan, forecast))
    table.add_row("", f"{plan.optimizer}, {', '.join(computing(plan))}")
    if forecast is not None:
        table.add_row("  time", time_needed(plan, forecast))
        table.add_row("  memory", f"about {size_in_words(forecast.memory)}")
        if forecast.loss:
            expected = Text("expected at the end ")
            expected.append(f"{forecast.loss.loss:.2f}", style=LOSS_STYLE)
            expected.append(f", most likely from {forecast.loss.low:.2f} to {forecast.loss.high:.2f}")
            table.add_row("  loss", expected)
    if folder:
        table.add_row("  folder", Text(folder, style="bold"))
    table.add_row()
    return table


def time_needed(plan: BasePlan, forecast: Forecast) -> str:
    if not forecast.seconds:
        return "not measured"
    if forecast.seconds > 0.97 * 60 * plan.minutes > 0:
        return duration(60 * plan.minutes)
    if plan.minutes:
        return f"about {duration(forecast.seconds)}: with more the model would only overfit"
    return f"about {duration(forecast.seconds)}"


def training(plan: Plan, forecast: Forecast | None) -> str:
    about = "about " if plan.minutes else ""
    steps = f"{about}{plan.steps:,} steps of {plan.tokens_per_step:,} tokens"
    if forecast is None:
        return steps
    return f"{steps}: the text {times(forecast.epochs)}{', with dropout' if plan.dropout else ''}"


def computing(plan: BasePlan) -> list[str]:
    parts = [f"in {plan.micro_batches} parts"] if plan.micro_batches > 1 else []
    way = ["compiled"] if plan.compile else ["native kernels"] if getattr(plan, "kernels", False) else []
    return [plan.device, plan.dtype, *way, *parts]


def shape(plan: Plan) -> str:
    if MODELS[plan.model].is_table:
        return "one table of what follows what"
    return f"{plan.n_layer} layers, {plan.n_head} heads, {plan.n_embd} wide, context {plan.context_length}"


def yardsticks(facts: Facts, forecast: Forecast) -> Table:
    """What is normal for this text: what a loss means is clear only beside others."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("  before training", f"{math.log(facts.vocab_size):.2f}", "a guess among all tokens")
    for name, loss in counted_rows(facts.ngram_losses):
        table.add_row(f"  {name}", f"{loss:.2f}", "by counting")
    if forecast.loss:
        table.add_row(
            "  this plan",
            Text(f"{forecast.loss.loss:.2f}", style=LOSS_STYLE),
            "expected",
        )
    return table


def counted_rows(losses: Sequence[float]) -> list[tuple[str, float]]:
    """The first three n-gram models, and the best where it is a longer one: what each goes by, and its loss.

    losses[n - 1]: that of n tokens counted together.

    >>> [name for name, _ in counted_rows([2.0, 1.5, 1.2, 1.1, 1.3])]
    ['how often each token occurs', 'what follows each token', 'what follows each two', 'what follows each three']
    >>> len(counted_rows([1.39, 1.4, 1.5, 1.7, 1.9]))
    3
    """
    names = ["how often each token occurs", "what follows each token"]
    names += [f"what follows each {NUMBERS[n]}" for n in range(2, len(losses))]
    best = losses.index(min(losses))
    shown = [*range(min(ALWAYS_COUNTED, len(losses))), *([best] if best >= ALWAYS_COUNTED else [])]
    return [(names[n], losses[n]) for n in shown]


def times(epochs: float) -> str:
    """
    >>> times(0.25), times(1.0), times(4.62)
    ('25% of it once', 'once', '4.6 times')
    """
    if epochs < 0.95:
        return f"{epochs:.0%} of it once"
    return "once" if epochs < 1.05 else f"{epochs:.1f} times"


def duration(seconds: float) -> str:
    """
    >>> duration(42.4), duration(180), duration(5400)
    ('42 seconds', '3 minutes', '1.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    if seconds < 100 * 60:
        return f"{seconds / 60:.3g} minutes"
    return f"{seconds / 3600:.3g} hours"
