"""homespun evaluate: how well a model predicts a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from homespun.cli.plain import json_option, print_json

if TYPE_CHECKING:
    from homespun.evaluation import Evaluation


@click.command()
@click.argument("model")
@click.argument("text", nargs=-1)
@click.option("--field", metavar="NAME", help="The field of a .jsonl, .csv or .parquet file that holds the text.")
@json_option
def command(model: str, text: tuple[str, ...], field: str | None, as_json: bool) -> None:
    """Measure how well MODEL predicts TEXT.

    Without a TEXT it is measured on what its own training kept back. Every token of the text is
    predicted once, from what stands before it in a window of the model's context length. Bits per
    character and per byte can be compared between models with different tokenizers; loss and
    perplexity cannot.

    \b
    Examples:
      homespun evaluate runs/shakespeare
      homespun evaluate runs/shakespeare another-play.txt
    """
    from homespun import api
    from homespun.cli.screen import working

    opened = api.load(model)
    with working("measuring"):
        result = opened.evaluate(*text, field=field)
    if as_json:
        print_json({"model": model, "text": list(text), **vars(result)})
    else:
        measured_on = ", ".join(text) or "what its training kept back"
        show(f"{model} on {measured_on}", result, opened.tokenizer.vocab_size)


def show(title: str, result: Evaluation, vocab_size: int) -> None:
    from homespun.cli.screen import console, table

    rows = [
        ("loss", f"{result.loss:.4f}", "nats a token"),
        ("guessing", f"{math.log(vocab_size):.4f}", f"the loss of knowing nothing, among {vocab_size:,} tokens"),
        ("perplexity", f"{result.perplexity:,.2f}", "it is as unsure as between so many tokens"),
        ("bits per character", f"{result.bits_per_char:.4f}", f"of {result.characters:,} characters"),
        ("bits per byte", f"{result.bits_per_byte:.4f}", f"of {result.bytes:,} bytes in UTF-8"),
        ("tokens", f"{result.tokens:,}", f"predicted, {result.tokens / result.seconds:,.0f} of them a second"),
    ]
    found = table("", "", "", right=[])
    found.show_header = False
    found.columns[1].justify = "right"
    found.columns[0].no_wrap = found.columns[1].no_wrap = True
    found.columns[2].style = "dim"
    for row in rows:
        found.add_row(*row)
    out = console()
    out.print(title, style="bold")
    out.print(found)
