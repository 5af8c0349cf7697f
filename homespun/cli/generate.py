"""homespun generate: a model writes, and the text is shown as it comes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.generate_request import Request, bias_of, prompt_of, schema_of, unescaped
from homespun.cli.screens.plain import colours, json_option, print_json, shows_unicode, visible, write
from homespun.cli.screens.writing import prepare_to_write, sampling_options, weights_option
from homespun.generation.repetition import LOOPS, goes_round
from homespun.generation.settings import Sampling

if TYPE_CHECKING:
    from homespun.api.language_model import LanguageModel
    from homespun.generation.text import Pieces


@click.command()
@click.argument("model")
@click.argument("prompt", default="")
@click.option(
    "--max-tokens", type=int, metavar="N", default=200, show_default=True, help="How much to write at most."
)
@sampling_options
@click.option(
    "--stop",
    multiple=True,
    metavar="S",
    help=r"Stop before this text; \n in it is a new line. Can be given several times.",
)
@click.option(
    "--pattern",
    metavar="REGEX",
    help="Write what this regular expression describes, from its beginning to its end.",
)
@click.option(
    "--schema", metavar="FILE", help="Write JSON that this JSON schema allows; a file, or the schema itself."
)
@click.option(
    "--logit-bias",
    "biases",
    multiple=True,
    metavar="TOKEN=B",
    help="Add B to the logit of a token, given as its text or as # and its id: -inf forbids it. Can be given "
    "several times.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many texts to write, each with the next seed.",
)
@weights_option
@click.option(
    "--prompt-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the prompt from a file."
)
@click.option(
    "--special",
    is_flag=True,
    help="Names of special tokens in the prompt, such as <|im_start|>, are these tokens and no text.",
)
@click.option("--show", "shown", is_flag=True, help="Show how sure the model was of each token, in colours.")
@click.option(
    "--why",
    type=int,
    metavar="N",
    help="Show, besides, what else the N-th token could have been, and what the model looked at when it chose it; "
    "-1 is the last one.",
)
@json_option
def command(
    model: str,
    prompt: str,
    max_tokens: int,
    stop: tuple[str, ...],
    pattern: str | None,
    schema: str | None,
    biases: tuple[str, ...],
    samples: int,
    weights: str,
    prompt_file: Path | None,
    special: bool,
    shown: bool,
    why: int | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """MODEL writes on from PROMPT, and the text is shown as it comes.

    MODEL is the folder that training wrote. Without a PROMPT it begins where a text would
    begin. A PROMPT of - is read from standard input; of that and of a file, one new line at
    the very end is left out, because editors and echo put it there.

    \b
    Examples:
      homespun generate runs/shakespeare "ROMEO:"
      homespun generate runs/shakespeare --samples 3 --temperature 0.6
      homespun generate runs/shakespeare "JULIET:" --stop "\\n\\n" --seed 7
      homespun generate runs/shakespeare "ROMEO:" --seed 7 --show --why 12
      homespun generate smollm2 "Born in the year" --pattern " [0-9]{4}"
    """
    sampling = Sampling(**settings)  # what is wrong with the request is reported before anything is loaded
    request = Request(
        model=model,
        prompt=prompt_of(prompt, prompt_file),
        max_tokens=max_tokens,
        sampling=sampling,
        stop=tuple(map(unescaped, stop)),
        pattern=pattern,
        schema=schema_of(schema),
        biases=tuple(map(bias_of, biases)),
        samples=samples,
        shown=shown or why is not None,
        why=why,
        special=special,
    )
    import homespun

    opened = homespun.load(model, weights=weights)
    prepare_to_write(opened)
    tell_what_is_not_read(opened, request)
    if as_json:
        print_json(write_all(opened, request))
    else:
        show_all(opened, request)


def tell_what_is_not_read(opened: LanguageModel, request: Request) -> None:
    """A note where the prompt is longer than the model's window, or spells special tokens out."""
    from homespun.tokenizer.prompt import encode_prompt, special_tokens_in

    if not request.special and (found := special_tokens_in(opened.tokenizer, request.prompt)):
        what = "are special tokens of this model" if len(found) > 1 else "is a special token of this model"
        click.echo(
            f"note: {', '.join(found[:4])} {what}, and read as text here; with --special as the token. "
            "homespun chat writes conversations.",
            err=True,
        )
    ids = encode_prompt(opened.tokenizer, request.prompt, special_tokens=request.special)
    tokens, window = len(ids), opened.model.config.context_length
    if tokens > window:
        click.echo(
            f"note: the prompt has {tokens:,} tokens; the context holds the last {window:,} of them.", err=True
        )


def write_all(opened: LanguageModel, request: Request) -> dict[str, Any]:
    """All samples as one plain object. `text` is what was written, without the prompt."""
    written: list[dict[str, Any]] = []
    started = time.perf_counter()
    for sampling, pieces in request.pieces(opened):
        written.append(
            {
                "text": "".join(pieces),
                "seed": sampling.seed,
                "tokens": pieces.tokens,
                "finish_reason": pieces.finish_reason,
            }
        )
        if request.shown:
            from homespun.cli.screens.insight import as_object

            written[-1]["shown"] = as_object(opened, *read_and_written(pieces), request.why)
    seconds = time.perf_counter() - started
    return {
        "model": request.model,
        "prompt": request.prompt,
        "seed": written[0]["seed"],
        "weights": opened.engine.weights,
        "samples": written,
        "tokens_per_second": sum(sample["tokens"] for sample in written) / seconds,
    }


def show_all(opened: LanguageModel, request: Request) -> None:
    """All samples, each as it comes; at the end, in a terminal, what it takes to repeat them."""
    tokens, loops, started = 0, False, time.perf_counter()
    samples = request.pieces(opened)
    for number, (sampling, pieces) in enumerate(samples, start=1):
        if request.samples > 1:
            write(heading(f"{number} of {request.samples}, seed {sampling.seed}", first=number == 1))
        tokens += show_insight(opened, pieces, request.why) if request.shown else show(request.prompt, pieces)
        loops |= sampling.temperature == 0 and goes_round(opened.tokenizer.decode(pieces.ids))
        if pieces.finish_reason == "length" and request.is_constrained():
            click.echo(f"note: it was cut off after {pieces.tokens:,} tokens (--max-tokens).", err=True)
    if loops:
        click.echo(f"note: {LOOPS}", err=True)
    if sys.stderr.isatty():
        rate = tokens / (time.perf_counter() - started)
        rounded = "" if opened.engine.weights == "float32" else f", weights in {opened.engine.weights}"
        line = f"seed {samples[0][0].seed}, {tokens:,} tokens, {rate:,.0f} tokens/s{rounded}"
        click.echo(click.style(line, dim=True) if colours(sys.stderr) else line, err=True)


def show(prompt: str, pieces: Pieces) -> int:
    """The prompt and what follows, each piece as soon as it is there; returns how many tokens were written."""
    terminal = sys.stdout.isatty()
    write(click.style(visible(prompt), bold=True) if prompt and colours(sys.stdout) else prompt)
    last = prompt
    for piece in pieces:
        write(visible(piece) if terminal else piece)
        last = piece
    if not last.endswith("\n"):
        write("\n")
    return pieces.tokens


def show_insight(opened: LanguageModel, pieces: Pieces, why: int | None) -> int:
    """The text when all of it is there, with what the model had in mind; returns how many tokens were written."""
    from homespun.cli.screens.insight import show

    for _ in pieces:
        pass
    show(opened, *read_and_written(pieces), why)
    return pieces.tokens


def read_and_written(pieces: Pieces) -> tuple[list[int], int]:
    """All ids that the model has seen or written, and how many of these were the prompt's."""
    return [*pieces.prompt_ids, *pieces.ids], len(pieces.prompt_ids)


def heading(text: str, first: bool) -> str:
    """A line between two samples, with an empty one above it."""
    line = ("─" if shows_unicode(sys.stdout) else "-") * 2
    return f"{'' if first else chr(10)}{line} {text} {line * 10}\n"
