"""homespun import: a checkpoint of nanoGPT, minGPT, the lecture or llama2.c becomes a model folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from homespun.cli.screens.plain import json_option, print_json


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder. [default: in runs/, under FILE's name]",
)
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="What the tokens are: the meta.pkl of its data, the text that it was trained on, llama2.c's "
    "tokenizer.bin, a tokenizer.json or .model, or gpt2. [default: what lies beside FILE]",
)
@click.option(
    "--heads", type=click.IntRange(min=1), metavar="N", help="Heads of attention, if FILE does not say it."
)
@click.option(
    "--gelu",
    type=click.Choice(["exact", "tanh"]),
    default=None,
    help="Which GELU it was trained with. [default: what such a file usually has]",
)
@click.option("--force", is_flag=True, help="Write over what is in DIR.")
@json_option
def command(file: Path, as_json: bool, **options: Any) -> None:
    """Bring a model from the lecture's repositories along.

    FILE is the ckpt.pt of nanoGPT, build-nanogpt or llama2.c, the model.pt of minGPT, a state dict of the
    lecture's gpt.py or bigram.py, or a .bin of llama2.c. It is read without executing anything in it: only
    tensors and plain values are taken, and a file that asks for more is refused. DIR is a model folder, like
    those of homespun train.

    \b
    Examples:
      homespun import out-shakespeare-char/ckpt.pt --out runs/shakespeare-char
      homespun import model.pt --tokenizer input.txt
      homespun import stories15M.bin --tokenizer tokenizer.bin --out runs/stories
    """
    import homespun

    imported = homespun.import_model(file, **{**options, "gelu": options["gelu"] or ""})
    if as_json:
        print_json({**vars(imported), "notes": list(imported.notes)})
        return
    out = shlex.quote(str(imported.out))
    click.echo(
        f"{imported.out}: {imported.kind}, {imported.parameters:,} parameters, {imported.vocab_size:,} tokens, "
        f"a context of {imported.context_length:,}\ntokenizer: {imported.tokenizer}"
    )
    for note in imported.notes:
        click.echo(f"note: {note}")
    click.echo(
        f'\n  homespun generate {out} "Once"\n  homespun show {out}\n  homespun evaluate {out} YOUR-TEXT.txt'
    )
