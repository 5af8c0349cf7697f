"""What `train` and `finetune` have in common on the command line: how long, where to, and by which plan."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from homespun.machine.device import DTYPES

Command = Callable[..., Any]


def with_options(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):  # the last that is put on comes first in --help
        command = option(command)
    return command


def length_options(command: Command) -> Command:
    return with_options(
        command,
        [
            click.option(
                "--minutes",
                type=float,
                metavar="M",
                help="Train for that long, from the command to its end. [default: 5]",
            ),
            click.option(
                "--steps",
                type=int,
                metavar="N",
                help="Train for that many updates of the weights, however long they take.",
            ),
        ],
    )


def reading_options() -> list[Callable[[Command], Command]]:
    """How a TEXT is read, where homespun cannot know it."""
    return [
        click.option(
            "--field", metavar="NAME", help="The field of a .jsonl, .csv or .parquet file that holds the text."
        ),
        click.option(
            "--encoding",
            metavar="NAME",
            help="The encoding of files that are not UTF-8, such as cp1250. [default: it is guessed]",
        ),
    ]


def read_as_asked(command: Command) -> Command:
    return with_options(command, reading_options())


def run_options(*, folder: str, example: str) -> Callable[[Command], Command]:
    """folder: the name that a run gets by itself; example: of --set, and what more is to be said of it."""

    def add(command: Command) -> Command:
        return with_options(
            command,
            [
                click.option(
                    "--out",
                    type=click.Path(path_type=Path),
                    metavar="DIR",
                    help=f"The folder of the run. [default: {folder}]",
                ),
                click.option(
                    "--seed", type=int, metavar="N", help="The same seed gives the same model. [default: 1337]"
                ),
                *reading_options(),
                click.option(
                    "--plan",
                    type=click.Path(path_type=Path),
                    metavar="FILE",
                    help="Replay the plan.toml of a run.",
                ),
                click.option(
                    "--set",
                    "settings",
                    multiple=True,
                    metavar="KEY=VALUE",
                    help=f"Change one number of the plan, such as {example}",
                ),
                click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps. [default: auto]"),
                click.option(
                    "--dtype",
                    type=click.Choice(["auto", *DTYPES]),
                    help="Of matrix products; auto is bfloat16 where the processor multiplies in it. "
                    "[default: auto]",
                ),
                click.option(
                    "--processes",
                    type=click.IntRange(min=1),
                    metavar="N",
                    help="Compute the run in N processes of this computer, such as one for each GPU. [default: 1]",
                ),
                click.option(
                    "--resume",
                    is_flag=True,
                    help="Go on with the run in --out; start it where nothing is there yet.",
                ),
            ],
        )

    return add


def in_processes(number: int | None) -> None:
    """Carry out this command in so many processes, and end with their exit code; return if one is enough."""
    if number is None or number == 1:
        return
    from homespun.distributed.launch import launch

    raise click.exceptions.Exit(launch(without_processes(sys.argv[1:]), number))


def without_processes(arguments: list[str]) -> list[str]:
    """The arguments of a command without --processes N.

    >>> without_processes(["train", "--processes", "2", "book.txt", "--processes=3"])
    ['train', 'book.txt']
    """
    kept = []
    given = iter(arguments)
    for argument in given:
        if argument == "--processes":
            next(given, None)
        elif not argument.startswith("--processes="):
            kept.append(argument)
    return kept


def process_start() -> float:
    """time.monotonic() of the moment when this process began: a user's minutes begin when Enter is pressed."""
    import psutil

    age = time.time() - psutil.Process().create_time()
    # A clock that was set in between would make nonsense of it.
    return time.monotonic() - (age if 0 <= age < 60 else 0.0)
