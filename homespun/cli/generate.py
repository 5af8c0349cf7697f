"""homespun generate: a model writes, and the text is shown as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.plain import colours, json_option, print_json, shows_unicode, visible, write
from homespun.errors import TextNotFound, TextUnreadable, UsageError
from homespun.generation.settings import Sampling

if TYPE_CHECKING:
    from homespun.api import LanguageModel
    from homespun.generation import Pieces


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every field of Sampling, with the help text that stands beside it."""
    for part in reversed(fields(Sampling)):
        option = click.option(
            f"--{part.name.replace('_', '-')}",
            type=part.metadata["type"],
            metavar=part.metadata["letter"],
            default=part.default,
            show_default=part.default is not None,
            help=part.metadata["help"],
        )
        command = option(command)
    return command


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
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many texts to write, each with the next seed.",
)
@click.option(
    "--prompt-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the prompt from a file."
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
    samples: int,
    prompt_file: Path | None,
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
    """
    sampling = Sampling(**settings)  # what is wrong with the request is told before anything is loaded
    request = Request(
        model=model,
        prompt=prompt_of(prompt, prompt_file),
        max_tokens=max_tokens,
        sampling=sampling,
        stop=tuple(text.replace(r"\n", "\n").replace(r"\t", "\t") for text in stop),
        samples=samples,
        shown=shown or why is not None,
        why=why,
    )
    from homespun import api

    opened = api.load(model)
    make_the_next_time_quicker(opened)
    tell_what_is_not_read(opened, request.prompt)
    if as_json:
        print_json(write_all(opened, request))
    else:
        show_all(opened, request)


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    model: str
    prompt: str
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...]
    samples: int
    shown: bool = False
    why: int | None = None

    def seeded(self) -> list[Sampling]:
        """The settings of each sample. A seed that was left open is chosen now, so that it can be told."""
        from homespun.generation.settings import random_seed, seeds_of_samples

        first = random_seed() if self.sampling.seed is None else self.sampling.seed
        return [replace(self.sampling, seed=seed) for seed in seeds_of_samples(first, self.samples)]

    def pieces(self, opened: LanguageModel) -> list[tuple[Sampling, Pieces]]:
        """The samples with their settings. They are written together, whichever is read first."""
        return [
            (
                sampling,
                opened.stream(self.prompt, max_tokens=self.max_tokens, stop=self.stop, **asdict(sampling)),
            )
            for sampling in self.seeded()
        ]


def prompt_of(prompt: str, file: Path | None) -> str:
    """The prompt, from where it is. Raises UsageError, TextNotFound, TextUnreadable."""
    if file is not None and prompt:
        raise UsageError(
            "There are two prompts, one in the command and one in --prompt-file.", "Give one of them."
        )
    try:
        if file is not None:
            return without_last_newline(file.read_bytes().decode("utf-8-sig"))
        if prompt == "-":
            return without_last_newline(sys.stdin.buffer.read().decode("utf-8-sig"))
    except FileNotFoundError:
        raise TextNotFound(f"There is no file {file}.", "--prompt-file takes the path of a text file.") from None
    except (UnicodeDecodeError, IsADirectoryError):
        where = "Standard input" if file is None else str(file)
        raise TextUnreadable(
            f"{where} is not a text in UTF-8.", "A prompt is plain text; save it as UTF-8."
        ) from None
    return prompt


def without_last_newline(text: str) -> str:
    """Newlines as the model knows them, and without the one that an editor puts at the end of a file."""
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def make_the_next_time_quicker(opened: LanguageModel) -> None:
    """Has the compiled step made, beside the first text that is ever written here."""
    from homespun.model import GPT

    if isinstance(opened.model, GPT) and opened.model.device.type == "cpu":
        from homespun.generation.native.compiling import compile_beside

        compile_beside()


def tell_what_is_not_read(opened: LanguageModel, prompt: str) -> None:
    """A note where the prompt is longer than the model's window."""
    tokens, window = len(opened.tokenizer.encode(prompt)), opened.model.config.context_length
    if tokens > window:
        click.echo(
            f"note: the prompt has {tokens:,} tokens; the model looks at the last {window:,} of them.", err=True
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
            from homespun.cli.insight_screen import as_object

            written[-1]["shown"] = as_object(opened, *ids_of(pieces), request.why)
    seconds = time.perf_counter() - started
    return {
        "model": request.model,
        "prompt": request.prompt,
        "seed": written[0]["seed"],
        "samples": written,
        "tokens_per_second": sum(sample["tokens"] for sample in written) / seconds,
    }


def show_all(opened: LanguageModel, request: Request) -> None:
    """All samples, each as it comes; at the end, in a terminal, what it takes to repeat them."""
    tokens, started = 0, time.perf_counter()
    samples = request.pieces(opened)
    for number, (sampling, pieces) in enumerate(samples, start=1):
        if request.samples > 1:
            write(heading(f"{number} of {request.samples}, seed {sampling.seed}", first=number == 1))
        tokens += show_insight(opened, pieces, request.why) if request.shown else show(request.prompt, pieces)
    if sys.stderr.isatty():
        rate = tokens / (time.perf_counter() - started)
        line = f"seed {samples[0][0].seed}, {tokens:,} tokens, {rate:,.0f} tokens/s"
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
    from homespun.cli.insight_screen import show

    for _ in pieces:
        pass
    show(opened, *ids_of(pieces), why)
    return pieces.tokens


def ids_of(pieces: Pieces) -> tuple[list[int], int]:
    """What the model has read and written, and how many of these ids were the prompt's."""
    writing = pieces.stream.writing
    prompt_tokens = len(writing.ids) - writing.count
    return writing.ids[: prompt_tokens + pieces.tokens], prompt_tokens  # nothing behind a stop string


def heading(text: str, first: bool) -> str:
    """A line between two samples, with an empty one above it."""
    line = ("─" if shows_unicode(sys.stdout) else "-") * 2
    return f"{'' if first else chr(10)}{line} {text} {line * 10}\n"
