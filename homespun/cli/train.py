"""homespun train: from a text to a model of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.errors import INTERRUPTED
from homespun.cli.run_options import in_processes, length_options, process_start, run_options
from homespun.cli.screens.plain import json_option, print_json
from homespun.distributed.place import is_first
from homespun.model.families import TRAINED
from homespun.planning.search import SIZES

if TYPE_CHECKING:
    pass


@click.command()
@click.argument("text", nargs=-1)
@length_options
@click.option(
    "--model",
    type=click.Choice(list(TRAINED)),
    help="The family: modern is the strongest, lecture and bigram are those of the lessons. [default: modern]",
)
@click.option(
    "--size",
    type=click.Choice(["auto", *SIZES]),
    help="auto takes what the time and the text allow. [default: auto]",
)
@click.option(
    "--tokenizer",
    metavar="KIND",
    help="char, byte, bpe, bpe:N, gpt2, or the path of a tokenizer.json or SentencePiece .model. [default: auto]",
)
@click.option(
    "--context",
    type=click.IntRange(min=1),
    metavar="N",
    help="The context length: the most tokens that the model attends to.",
)
@run_options(
    folder="runs/NAME-OF-TEXT",
    example="n_layer=4. Can be given several times; an unknown KEY lists all.",
)
@click.option("--extend", is_flag=True, help="Carry the finished run in --out on, for --minutes or --steps more.")
@click.option("--tensorboard", is_flag=True, help="Write the metrics for TensorBoard as well.")
@json_option
def command(text: tuple[str, ...], settings: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Train a model on TEXT: files, folders, code repositories, web addresses, - or a name.

    No format to learn and nothing to prepare. What comes out is a folder that `transformers` opens.
    Without a TEXT it takes the first of these that can be had: shakespeare, shakespeare-plays, python.

    \b
    Examples:
      homespun train book.txt --minutes 5
      homespun train letters/ notes.md --out runs/letters
      homespun train shakespeare --steps 2000 --size nano --set learning_rate=0.002
      homespun train --plan runs/book/plan.toml --out runs/book-again
      homespun train --out runs/book --resume
      homespun train --out runs/book --extend --minutes 20
      homespun train book.txt --processes 8 --out runs/book
    """
    in_processes(options.pop("processes"))
    started = process_start()
    import homespun
    from homespun.cli.screens.live import Live, conclude
    from homespun.training.log_lines import LogLines

    if as_json or not is_first():
        result = homespun.train(
            *text, settings=list(settings), watcher=LogLines(), started=started, **options
        ).result
        if is_first():
            print_json(result.as_object())
    else:
        with Live() if sys.stdout.isatty() else LogLines(sys.stdout) as watcher:
            result = homespun.train(
                *text, settings=list(settings), watcher=watcher, started=started, **options
            ).result
        conclude(result)
    if result.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
