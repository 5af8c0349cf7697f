"""homespun plan: what a training would do, before it does it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.run_options import read_as_asked
from homespun.cli.screens.plain import json_option, print_json, program
from homespun.machine.device import DTYPES
from homespun.model.families import TRAINED
from homespun.planning.search import SIZES

if TYPE_CHECKING:
    from homespun.api.plan import Planned


@click.command()
@click.argument("text", nargs=-1)
@click.option(
    "--minutes", type=float, metavar="M", help="As for train: the time from its start to its end. [default: 5]"
)
@click.option("--steps", type=int, metavar="N", help="So many updates of the weights, however long they take.")
@click.option("--model", type=click.Choice(list(TRAINED)), help="The family. [default: modern]")
@click.option("--size", type=click.Choice(["auto", *SIZES]), help="auto searches for the best. [default: auto]")
@click.option("--tokenizer", metavar="KIND", help="char, byte, bpe, bpe:N, gpt2, or a path. [default: auto]")
@click.option(
    "--context",
    type=click.IntRange(min=1),
    metavar="N",
    help="The context length: the most tokens that the model attends to.",
)
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same model. [default: 1337]")
@read_as_asked
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Fix one number of the plan; the search goes round it.",
)
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps. [default: auto]")
@click.option("--dtype", type=click.Choice(["auto", *DTYPES]), help="Of matrix products. [default: auto]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the plan there; train --plan FILE carries it out.",
)
@json_option
def command(
    text: tuple[str, ...], settings: tuple[str, ...], out: Path | None, as_json: bool, **options: Any
) -> None:
    """Show what `train` would do with TEXT, and train nothing.

    What was found in the text, which model suits it and this computer, how long that takes, how much
    memory, what loss to expect, and what a normal loss looks like. It takes a few seconds.

    \b
    Examples:
      homespun plan book.txt --minutes 5
      homespun plan letters/ --minutes 30 --set n_layer=4
      homespun plan book.txt --out book.toml
    """
    import homespun
    from homespun.cli.screens.live import Live
    from homespun.training.log_lines import LogLines

    live = not as_json and sys.stdout.isatty()
    if not live:
        planned = homespun.plan(*text, settings=list(settings), watcher=LogLines(), **options)
    else:
        with Live() as watcher:
            planned = homespun.plan(*text, settings=list(settings), watcher=watcher, **options)
    if out is not None:
        planned.plan.save(out)
    if as_json:
        print_json(planned.as_object())
    else:
        next_command = command_for(program(), text, options, settings) if out is None else carry_out(out)
        show(planned, next_command, notes_are_there=live)


def show(planned: Planned, next_command: str, *, notes_are_there: bool = False) -> None:
    """notes_are_there: what was noticed in reading the text stands on this screen already."""
    from rich.padding import Padding
    from rich.text import Text

    from homespun.cli.screens.plan import plan_table, yardsticks
    from homespun.cli.screens.terminal import console, show_notes, size_in_words
    from homespun.dataset.doctor import briefly

    screen = console()
    text = planned.dataset
    screen.print()
    screen.print(Text("  ").append(planned.corpus.title, style="bold"))
    screen.print(
        f"  {text.train.tokens:,} tokens to learn from, {text.val.tokens:,} held out ({text.how})", style="dim"
    )
    if not notes_are_there:
        show_notes(screen, planned.examination.notes, "  Noticed in reading it")
    screen.print()
    nothing = "else" if planned.examination.notes else "wrong with it"
    for line in briefly(planned.examination) or [f"The data doctor finds nothing {nothing}."]:
        screen.print(Padding(Text(line), (0, 2)))
    screen.print()
    screen.print(plan_table(planned.plan, planned.parameters, planned.forecast))
    if why := why_this_size(planned):
        screen.print(Padding(Text(why), (0, 2)))
    if planned.facts.memory_free:
        screen.print(f"  {size_in_words(planned.facts.memory_free)} of memory are free.\n", style="dim")
    screen.print(Text("  What a loss means on this text, in nats per token", style="bold"))
    screen.print(yardsticks(planned.facts, planned.forecast))
    screen.print("\n  To train it:\n")
    screen.print(Text(f"    {next_command}\n", style="bold"), soft_wrap=True)


def why_this_size(planned: Planned) -> str:
    """The search in a sentence; nothing where there was no choice."""
    beside = [
        f"{'a larger' if larger else 'a smaller'} model ({other.parameters / 1e6:.1f} million parameters) "
        f"is expected to end at {other.loss:.2f}"
        for larger, other in ((False, planned.smaller), (True, planned.larger))
        if other is not None
    ]
    return f"In the same time, {' and '.join(beside)}." if beside else ""


def command_for(name: str, text: tuple[str, ...], options: dict[str, Any], settings: tuple[str, ...]) -> str:
    """The `train` command that carries out what was shown."""
    import shlex

    words = [name, "train", *map(shlex.quote, text)]
    for option, value in options.items():
        if value is not None:
            words += [f"--{option}", shlex.quote(f"{value:g}" if isinstance(value, float) else str(value))]
    for setting in settings:
        words += ["--set", shlex.quote(setting)]
    return " ".join(words)


def carry_out(plan: Path) -> str:
    import shlex

    return f"{program()} train --plan {shlex.quote(str(plan))}"
