"""What `homespun evaluate` shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from homespun.cli.screens.terminal import console, indented, show_notes, table
from homespun.dataset.finding import percent

if TYPE_CHECKING:
    from rich.console import Console

    from homespun.api.report import Report, Rounded
    from homespun.evaluation.calibration import Calibration
    from homespun.evaluation.loss import Evaluation
    from homespun.evaluation.memorisation import Memorisation

WRITERS = {
    "model": "what the model writes",
    "held out": "the text it is measured on",
    "n-grams": "what counting {n} tokens writes",
    "chance": "its tokens by chance",
}
LONGEST_SHOWN = 300  # characters of a passage
BAR = 20  # columns


def show(report: Report) -> None:
    out = console()
    out.print(Text(f"{report.model} on {', '.join(report.text) or 'what its training kept back'}", "bold"))
    show_notes(out, report.notes, "Noticed in reading it")
    if report.against:
        show_both(out, report)
    elif report.rounded:
        show_rounded(out, report, report.rounded)
    else:
        out.print(plain_table(rows_of(report.result, report.vocab_size)))
    if report.calibration:
        show_calibration(out, report.calibration)
    if report.memorisation:
        show_memorisation(out, report.memorisation)


def rows_of(result: Evaluation, vocab_size: int) -> list[tuple[str, str, str]]:
    return [
        ("loss", f"{result.loss:.4f}", "nats a token"),
        ("guessing", f"{math.log(vocab_size):.4f}", f"the loss of a uniform guess among {vocab_size:,} tokens"),
        ("perplexity", f"{result.perplexity:,.2f}", "it is as unsure as between so many tokens"),
        ("bits per character", f"{result.bits_per_char:.4f}", f"of {result.characters:,} characters"),
        ("bits per byte", f"{result.bits_per_byte:.4f}", f"of {result.bytes:,} bytes in UTF-8"),
        ("tokens", f"{result.tokens:,}", f"predicted, {result.tokens / result.seconds:,.0f} of them a second"),
        ("windows", *windows_of(result)),
    ]


def windows_of(result: Evaluation) -> tuple[str, str]:
    """How the text was cut into windows, so that nobody takes one loss for the other."""
    if result.sliding:
        before = result.context_length - result.stride
        return "sliding", f"by {result.stride:,} tokens: each token has {before:,} before it or more"
    return "apart", f"of {result.context_length:,} tokens, none overlaps another: the loss as training tells it"


def plain_table(rows: Sequence[Sequence[str]]) -> Table:
    """Names, numbers, and what they are."""
    made = table("", "", "")
    made.show_header = False
    made.columns[1].justify = "right"
    made.columns[0].no_wrap = made.columns[1].no_wrap = True
    made.columns[2].style = "dim"
    for row in rows:
        made.add_row(*row)
    return made


def show_both(out: Console, report: Report) -> None:
    """Two models side by side, and which of them predicts the text better."""
    assert report.against is not None
    one, other = report.result, report.against.result
    made = table("", "first", "second", right=["first", "second"])
    made.columns[0].no_wrap = True
    sides = zip(rows_of(one, report.vocab_size), rows_of(other, report.against.vocab_size), strict=True)
    for (name, first, _), (_, second, _) in sides:
        made.add_row(name, first, second)
    made.add_row("context length", f"{one.context_length:,}", f"{other.context_length:,}")
    out.print(Text(f"against {report.against.model}", "bold"))
    out.print(made)
    if not report.against.same_tokenizer:
        out.print("Their tokenizers differ, so their losses and perplexities do not compare; the bits do.")
    out.print(verdict(one.bits_per_byte, other.bits_per_byte))


def show_rounded(out: Console, report: Report, rounded: Rounded) -> None:
    """One model with two kinds of weights, and what the rounding costs."""
    made = table("weights in", "float32", rounded.kind, right=["float32", rounded.kind])
    made.columns[0].no_wrap = True
    sides = (rows_of(result, report.vocab_size) for result in (report.result, rounded.result))
    for (name, plain, _), (_, other, _) in zip(*sides, strict=True):
        made.add_row(name, plain, other)
    out.print(made)
    out.print(cost_of_rounding(rounded.kind, report.result.loss, rounded.result.loss))


def cost_of_rounding(kind: str, before: float, after: float) -> str:
    """
    >>> cost_of_rounding("int8", 1.4701, 1.4704)
    'float32 1.4701, int8 1.4704: rounding adds 0.0003 to the loss.'
    """
    sides = f"float32 {before:.4f}, {kind} {after:.4f}"
    if f"{before:.4f}" == f"{after:.4f}":
        return f"{sides}: rounding costs nothing that can be seen."
    what = f"adds {after - before:.4f} to" if after > before else f"takes {before - after:.4f} from"
    return f"{sides}: rounding {what} the loss."


def verdict(first: float, second: float) -> str:
    """
    >>> verdict(2.0, 1.8)
    'The second predicts it better, by 0.2000 bits per byte (10%).'
    >>> verdict(2.0, 2.0)
    'They predict it equally well.'
    """
    if f"{first:.4f}" == f"{second:.4f}":
        return "They predict it equally well."
    better, worse = min(first, second), max(first, second)
    which = "first" if first < second else "second"
    return (
        f"The {which} predicts it better, by {worse - better:.4f} bits per byte ({percent(1 - better / worse)})."
    )


def show_calibration(out: Console, found: Calibration) -> None:
    """A line for each bin: how sure the model was, and how often it was right."""
    out.print()
    out.print(Text("How sure it is, and how often it is right", "bold"))
    made = table(
        "it says", "on average", "it is right", "", "tokens", right=["on average", "it is right", "tokens"]
    )
    for one in found.bins:
        if one.tokens:
            shares = f"{100 * one.low:.0f} to {100 * one.high:.0f}%"
            bar = "#" * round(BAR * one.came)
            made.add_row(shares, percent(one.said), percent(one.came), bar.ljust(BAR, "."), f"{one.tokens:,}")
    out.print(made)
    out.print(
        f"Its likeliest token is right in {percent(found.came)} of all places, and it says {percent(found.said)}. "
        f"Between the two lie {percent(found.error)} on average over the lines (expected calibration error)."
    )


def show_memorisation(out: Console, found: Memorisation) -> None:
    """How much of each text stands in the training text, and the longest that the model wrote."""
    out.print()
    out.print(Text("What stands word for word in the training text", "bold"))
    made = table("", "tokens", "in passages", "longest", right=["tokens", "in passages", "longest"])
    for name, copied in found.texts.items():
        made.add_row(
            WRITERS[name].format(n=found.n),
            f"{copied.tokens:,}",
            percent(copied.share),
            f"{copied.longest:,} tokens",
        )
    out.print(made)
    out.print(
        f"A passage has {found.least} tokens or more. The training text has {found.trained_on:,} tokens.",
        style="dim",
    )
    out.print(judged(found))
    longest = found.texts["model"].longest_text
    out.print("The longest that the model wrote and that stands there:")
    out.print(indented(longest[:LONGEST_SHOWN] + "…" * (len(longest) > LONGEST_SHOWN)))


def judged(found: Memorisation) -> str:
    """What the shares come to, in a sentence."""
    model, held_out = found.texts["model"].share, found.texts["held out"].share
    if model <= max(2 * held_out, 0.01):
        return "The model writes no more of the training text than an unread text has of it."
    return (
        f"The model writes passages of the training text: {percent(model)} of what it wrote, "
        f"where of an unread text it is {percent(held_out)}."
    )
