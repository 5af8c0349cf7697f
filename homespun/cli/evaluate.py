"""homespun evaluate: how well a model predicts a text, how sure it may be, and what it has memorised."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.screens.plain import json_option, print_json
from homespun.errors import CheckpointError, UsageError
from homespun.generation.settings import KINDS

if TYPE_CHECKING:
    import numpy as np

    from homespun.api.language_model import LanguageModel
    from homespun.dataset.shards import Split
    from homespun.evaluation.calibration import Calibration
    from homespun.evaluation.loss import Evaluation
    from homespun.evaluation.memorisation import Memorisation

# Generated to find memorised passages: continuations of pieces of the held-out text.
SAMPLES, SAMPLE_TOKENS, PROMPT_TOKENS = 16, 256, 16


@click.command()
@click.argument("model")
@click.argument("text", nargs=-1)
@click.option("--field", metavar="NAME", help="The field of a .jsonl, .csv or .parquet file that holds the text.")
@click.option(
    "--stride",
    type=int,
    metavar="N",
    help="Slide the window on by N tokens, so that every token has others before it. It takes longer, and the "
    "loss is lower than what is called the loss elsewhere in homespun.",
)
@click.option("--against", metavar="MODEL", help="Measure a second model on the same text, beside the first.")
@click.option(
    "--weights",
    type=click.Choice(KINDS),
    help="Measure what it costs to round the weights to this, as generate --weights does: beside float32.",
)
@click.option("--calibration", is_flag=True, help="Count how often the model is right where it says 70%.")
@click.option(
    "--memorisation",
    is_flag=True,
    help="Look for passages that stand in the training text, in what the model writes and in TEXT.",
)
@json_option
def command(
    model: str,
    text: tuple[str, ...],
    field: str | None,
    stride: int | None,
    against: str | None,
    weights: str | None,
    calibration: bool,
    memorisation: bool,
    as_json: bool,
) -> None:
    """Measure how well MODEL predicts TEXT.

    Without a TEXT it is measured on what its own training kept back. Every token of the text is
    predicted once, from what stands before it in a window of the model's context length; windows
    do not overlap unless --stride says so. Bits per character and per byte can be compared between
    models with different tokenizers; loss and perplexity cannot.

    \b
    Examples:
      homespun evaluate runs/shakespeare
      homespun evaluate runs/shakespeare another-play.txt --stride 32
      homespun evaluate runs/shakespeare --against runs/other
      homespun evaluate runs/shakespeare --weights int8
      homespun evaluate runs/shakespeare --calibration --memorisation
    """
    if against and weights:
        raise UsageError(
            "A second model and other weights are two comparisons.", "Take --against and --weights one by one."
        )
    import homespun
    from homespun.cli.screens.terminal import working
    from homespun.training.log_lines import Noted

    opened = homespun.load(model)
    opened.watcher = noted = Noted()
    other = homespun.load(against) if against else None
    with working("measuring"):
        split = opened.split_of(*text, field=field)
        result = opened.evaluate_split(split, stride=stride, weights="float32" if weights else None)
        report = Report(model, text, result, opened.tokenizer.vocab_size, noted.lines)
        if weights:
            report.rounded = Rounded(weights, opened.evaluate_split(split, stride=stride, weights=weights))
        if other is not None:
            report.against = measured_beside(against or "", other, opened, split, stride)
        if calibration:
            report.calibration = calibrated(opened, split, stride)
        if memorisation:
            report.memorisation = memorised(opened, split)
    if as_json:
        print_json(report.as_object())
    else:
        from homespun.cli.screens.evaluation import show

        show(report)


@dataclass
class Beside:
    """The second of two models."""

    model: str
    result: Evaluation
    vocab_size: int
    same_tokenizer: bool


@dataclass
class Rounded:
    """The same model with its weights rounded to a kind."""

    kind: str
    result: Evaluation


@dataclass
class Report:
    """What was asked for, and what was found."""

    model: str
    text: tuple[str, ...]
    result: Evaluation
    vocab_size: int
    notes: list[str]  # what was noticed in reading the text
    against: Beside | None = None
    rounded: Rounded | None = None
    calibration: Calibration | None = None
    memorisation: Memorisation | None = None

    def as_object(self) -> dict[str, Any]:
        """What --json prints. What was not asked for is not in it."""
        said: dict[str, Any] = {"model": self.model, "text": list(self.text), **as_json(self.result)}
        said["notes"] = self.notes
        if self.against:
            same = self.against.same_tokenizer
            said["against"] = {
                "model": self.against.model,
                "same_tokenizer": same,
                **as_json(self.against.result),
            }
        if self.rounded:
            said["weights"] = {"float32": as_json(self.result), self.rounded.kind: as_json(self.rounded.result)}
        if self.calibration:
            said["calibration"] = asdict(self.calibration)
        if self.memorisation:
            said["memorisation"] = asdict(self.memorisation)
        return said


def as_json(result: Evaluation) -> dict[str, Any]:
    return {**vars(result), "windows": "sliding" if result.sliding else "non-overlapping"}


def measured_beside(
    name: str, other: LanguageModel, opened: LanguageModel, split: Split, stride: int | None
) -> Beside:
    """The other model on the text of that split, whatever its tokenizer."""
    from homespun.evaluation.comparison import same_text

    theirs = same_text(split, opened.tokenizer, other.tokenizer)
    result = other.evaluate_split(theirs, stride=stride)
    return Beside(name, result, other.tokenizer.vocab_size, theirs is split)


def calibrated(opened: LanguageModel, split: Split, stride: int | None) -> Calibration:
    from homespun.evaluation.calibration import calibrate

    return calibrate(opened.model, split, stride=stride, autocast=opened.autocast())


def memorised(opened: LanguageModel, split: Split) -> Memorisation:
    """What of the split, and of what the model writes, stands in the text that it was trained on."""
    from homespun.evaluation.memorisation import memorisation

    try:
        dataset = opened.dataset()
    except CheckpointError as error:
        raise CheckpointError(
            error.what, "--memorisation compares with the text that the model was trained on: leave it out."
        ) from error
    return memorisation(dataset, opened.tokenizer, written(opened, split.ids), split.ids)


def written(opened: LanguageModel, ids: np.ndarray) -> list[np.ndarray]:
    """What the model writes on from places spread over a text, as ids, without what it was given."""
    import numpy as np

    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate_ids

    texts = []
    for number in range(SAMPLES):
        start = number * max(0, len(ids) - PROMPT_TOKENS) // SAMPLES
        prompt = ids[start : start + PROMPT_TOKENS].tolist()
        going_on = generate_ids(
            opened.model,
            prompt,
            max_tokens=SAMPLE_TOKENS,
            sampling=Sampling(temperature=1.0, seed=number),
            below=opened.tokenizer.vocab_size,
        )
        texts.append(np.fromiter(going_on, np.int64))
    return texts
