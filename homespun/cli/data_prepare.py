"""homespun data prepare: a text as shards in a folder, made by several processes or machines."""

from __future__ import annotations

import re

import click

from homespun.cli.run_options import read_as_asked
from homespun.cli.screens.plain import json_option, print_json


def part_of(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """ "2/4" -> (1, 4)."""
    if value is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", value)):
        raise click.BadParameter(f"{value!r} is no part; give one such as 2/4, the second of four.")
    return int(found[1]) - 1, int(found[2])


@click.command("prepare")
@click.argument("text", nargs=-1)
@click.option(
    "--out", required=True, metavar="FOLDER", help="Where the shards go. All parts give the same folder."
)
@click.option(
    "--tokenizer",
    default="auto",
    show_default=True,
    metavar="KIND",
    help="What it is cut into: auto, char, byte, bpe, bpe:N, gpt2, or a path.",
)
@click.option("--processes", default=1, show_default=True, metavar="N", help="Divide the work over N processes.")
@click.option(
    "--part",
    callback=part_of,
    metavar="I/N",
    help="Do the I-th of N parts alone; other machines that see the folder do the others.",
)
@read_as_asked
@json_option
def prepare_command(
    text: tuple[str, ...],
    out: str,
    tokenizer: str,
    processes: int,
    part: tuple[int, int] | None,
    field: str | None,
    encoding: str | None,
    as_json: bool,
) -> None:
    """Make shards of TEXT that train can be given instead of it: for texts of gigabytes.

    The work is divided over processes, or over machines that see the same folder. The shards are the same
    whatever divides it. What was interrupted goes on where it was: run the same command again. The folder may
    then be copied to where the training runs, or to a bucket that is trained from as it is.

    \b
    Examples:
      homespun data prepare "openwebtext/*.jsonl" --tokenizer gpt2 --out owt --processes 8
      homespun data prepare "openwebtext/*.jsonl" --tokenizer gpt2 --out owt --part 2/4
      homespun train owt --size large
      homespun train s3://my-bucket/owt --size large
    """
    from homespun.api.prepare import prepare

    found = prepare(
        *text,
        out=out,
        tokenizer=tokenizer,
        processes=processes,
        part=part,
        field=field,
        encoding=encoding,
    )
    if found is None:
        if as_json:
            print_json({"out": out, "complete": False})
        else:
            click.echo(f"This part is done. {out} is complete when all parts are.")
        return
    dataset = found.dataset
    if as_json:
        tokens = {"train_tokens": dataset.train.tokens, "val_tokens": dataset.val.tokens}
        print_json({"out": out, "complete": True, **tokens, "vocab_size": dataset.vocab_size, "key": dataset.key})
        return
    click.echo(
        f"{dataset.characters:,} characters are {dataset.tokens:,} tokens of {dataset.vocab_size:,} kinds, "
        f"in {out}; held out for validation: {dataset.how}.\n\nTrain on it:  homespun train {out}"
    )
