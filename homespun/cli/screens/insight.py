"""What `homespun generate --show` and `--why` show: how sure the model was, and what it looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from homespun.cli.screens.plain import colours, shows_unicode, visible
from homespun.cli.screens.terminal import console, table
from homespun.dataset.finding import percent
from homespun.errors import UsageError

if TYPE_CHECKING:
    from homespun.api.language_model import LanguageModel
    from homespun.insight.probabilities import Look, TokenProbabilities
    from homespun.tokenizer.tokenizer import Tokenizer

# How likely, at least, and how it looks. Black on colour: readable on a light terminal and on a dark one,
# and a space can be seen; from pale to dark, for those who do not tell red from green.
BANDS = (
    (0.7, "over 70%", Style()),
    (0.3, "30 to 70%", Style(color="black", bgcolor="#fff3b0")),
    (0.1, "10 to 30%", Style(color="black", bgcolor="#ffc971")),
    (0.02, "2 to 10%", Style(color="black", bgcolor="#ff9b54")),
    (0.0, "under 2%", Style(color="#ffffff", bgcolor="#b3261e")),
)
SHADES = tuple(  # of what was looked at, from hardly to most
    Style(color="black" if number < 4 else "#ffffff", bgcolor=colour) if colour else Style()
    for number, colour in enumerate(("", "#d6e4ff", "#a9c6ff", "#729dff", "#3563e9", "#1939b7"))
)
LEAST = 5  # of the tokens that were least expected
OTHERS = 5  # that could have come instead


def place_of(number: int, count: int) -> int:
    """The place, from 0, of the token that a person numbers from 1, or from -1 at the end. Raises UsageError.

    >>> place_of(2, 10), place_of(-1, 10)
    (1, 9)
    """
    place = number - 1 if number > 0 else count + number
    if number == 1 or not 1 <= place < count:
        raise UsageError(
            f"--why {number}: the text has {count:,} tokens, and the first has nothing before it to look at.",
            f"Name one from 2 to {count:,}, or count from the end: -1 is the last.",
        )
    return place


def show(opened: LanguageModel, ids: Sequence[int], prompt_tokens: int, why: int | None) -> None:
    """A text that the model has written behind prompt_tokens tokens of a prompt, and what it had in mind."""
    from homespun.insight.probabilities import looked_at, token_probabilities

    place = None if why is None else place_of(why, len(ids))
    found = token_probabilities(opened.model, opened.tokenizer, ids, alternatives=OTHERS)
    look = None if place is None else looked_at(opened.model, opened.tokenizer, ids, place)
    out = console()
    if colours(sys.stdout):
        show_in_colours(out, found, pieces_of(opened.tokenizer, ids), prompt_tokens)
    else:
        show_as_table(out, found, prompt_tokens)
    if look is not None:
        show_choice(out, found, look)
        show_look(out, look, pieces_of(opened.tokenizer, ids))


def as_object(opened: LanguageModel, ids: Sequence[int], prompt_tokens: int, why: int | None) -> dict[str, Any]:
    """The same for --json."""
    from homespun.insight.probabilities import looked_at, token_probabilities

    place = None if why is None else place_of(why, len(ids))
    found = token_probabilities(opened.model, opened.tokenizer, ids, alternatives=OTHERS)
    shown: dict[str, Any] = {"prompt_tokens": prompt_tokens, "tokens": found.as_objects()}
    if place is not None:
        shown["why"] = looked_at(opened.model, opened.tokenizer, ids, place).as_object()
    return shown


def show_in_colours(out: Console, found: TokenProbabilities, pieces: Sequence[str], prompt_tokens: int) -> None:
    legend = Text("How likely the model found each token: ", style="dim")
    for _, name, style in reversed(BANDS):
        legend.append(f" {name} ", style=style if style else "not dim").append(" ")
    out.print(legend)
    styles = [Style(), *(band_of(float(probability))[2] for probability in found.probabilities[1:])]
    styles[:prompt_tokens] = [style + Style(bold=True) for style in styles[:prompt_tokens]]
    out.print(numbered(pieces, styles, out.width))
    out.print(
        Text("Its tokens are counted from 1; the number on the left is that of the first one in a line.", "dim")
    )
    show_least(out, found, prompt_tokens)


def show_least(out: Console, found: TokenProbabilities, prompt_tokens: int) -> None:
    """The generated tokens with the lowest probability, which sampling chose all the same."""
    start = max(prompt_tokens, 1)
    order = np.argsort(found.logprobs[start:], kind="stable")[:LEAST] + start
    if not len(order):
        return
    made = table("", "token", "likely", "could have been", right=["", "likely"])
    for at in order:
        made.add_row(
            str(at + 1), quoted(found.tokens[at]), percent(found.probabilities[at]), others(found, at, LEAST - 2)
        )
    out.print(Text("\nWhat it wrote and had least expected", "bold"))
    out.print(made)


def show_as_table(out: Console, found: TokenProbabilities, prompt_tokens: int) -> None:
    """Without colours, a line for each token."""
    made = table("", "token", "likely", "", "could have been", right=["", "likely"])
    for at in range(len(found.ids)):
        likely = "" if at == 0 else percent(found.probabilities[at])
        whose = "prompt" if at < prompt_tokens else ""
        made.add_row(str(at + 1), quoted(found.tokens[at]), likely, whose, others(found, at, LEAST - 2))
    out.print(made)


def show_choice(out: Console, found: TokenProbabilities, look: Look) -> None:
    """One token, and what could have come in its place."""
    at = look.place
    rank = int(found.ranks[at])
    how = "the likeliest" if rank == 0 else f"{rank:,} were likelier"
    out.print(
        Text(f"\nToken {at + 1}, {quoted(look.token)}: {percent(found.probabilities[at])} likely, {how}", "bold")
    )
    made = table("could have been", "likely", right=["likely"])
    for token, logprob in zip(found.best_tokens[at], found.best_logprobs[at], strict=True):
        made.add_row(quoted(token), percent(np.exp(logprob)))
    out.print(made)


def show_look(out: Console, look: Look, pieces: Sequence[str]) -> None:
    """The text up to there with shades where there are colours, and what each layer looked at most."""
    out.print(Text("\nAttention of the model when it predicted that token", "bold"))
    if colours(sys.stdout):
        share = look.overall
        steps = np.ceil(np.sqrt(share / share.max()) * (len(SHADES) - 1)).astype(int)
        # Every token gets a little; the root makes differences among the many small ones visible.
        styles = [SHADES[step if part * len(share) > 0.5 else 0] for step, part in zip(steps, share, strict=True)]
        out.print(
            numbered([pieces[at] for at in look.seen], styles, out.width, first=int(look.seen[0]) + 1),
            soft_wrap=True,
        )
    made = table("layer", "averaged over its heads", "its sharpest head", right=["layer"])
    for layer, (averaged, heads) in enumerate(zip(look.by_layer, look.weights, strict=True), start=1):
        head = int(heads.max(axis=1).argmax())
        made.add_row(str(layer), most(look, averaged, 3), f"head {head + 1}: {most(look, heads[head], 1)}")
    made.add_row("all", most(look, look.overall, 3), "")
    out.print(made)


def most(look: Look, shares: np.ndarray, count: int) -> str:
    """The tokens that got the largest shares, with their numbers in the text."""
    order = np.argsort(-shares, kind="stable")[:count]
    return ", ".join(f"{quoted(look.tokens[at])} ({look.seen[at] + 1}) {percent(shares[at])}" for at in order)


def others(found: TokenProbabilities, at: int, count: int) -> str:
    """What was likelier than what came, or likely beside it."""
    pairs = zip(found.best_ids[at], found.best_tokens[at], found.best_logprobs[at], strict=False)
    others = [f"{quoted(token)} {percent(np.exp(logprob))}" for id, token, logprob in pairs if id != found.ids[at]]
    return ", ".join(others[:count])


def numbered(pieces: Sequence[str], styles: Sequence[Style], width: int, first: int = 1) -> Text:
    """The text in its styles, each line with the number of its first token; long lines are folded."""
    gutter = len(str(first + len(pieces)))
    made, column = Text(), 0
    sign = "↵" if shows_unicode(sys.stdout) else ""
    for number, (piece, style) in enumerate(zip(pieces, styles, strict=True), start=first):
        for character in visible(piece).replace("\t", " "):
            mark = sign if character == "\n" else character
            if column and character != "\n" and column + cell_len(mark) >= width:  # a column is the sign's
                made.append("\n")
                column = 0
            if column == 0:
                made.append(f"{number:>{gutter}} ", style="dim")
                column = gutter + 1
            made.append(mark, style=style if style or character != "\n" else Style(dim=True))
            column += cell_len(mark)
            if character == "\n":
                made.append("\n")
                column = 0
    made.rstrip()
    return made


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The text that each token completes: nothing for the first part of a character."""
    stream = tokenizer.stream()
    pieces = [stream.push(id) for id in ids]
    pieces[-1] += stream.flush()
    return pieces


def band_of(probability: float) -> tuple[float, str, Style]:
    """
    >>> band_of(0.5)[1], band_of(0.0)[1]
    ('30 to 70%', 'under 2%')
    """
    return next(band for band in BANDS if probability >= band[0])


def quoted(token: str) -> str:
    """
    >>> quoted(" boy")
    "' boy'"
    """
    return f"'{visible(token)}'"
