"""homespun evaluate: how well a model predicts a text, how sure it may be, and what it has memorised."""

from __future__ import annotations

import click

from homespun.cli.run_options import read_as_asked
from homespun.cli.screens.plain import json_option, print_json
from homespun.errors import UsageError
from homespun.generation.settings import KINDS


@click.command()
@click.argument("model")
@click.argument("text", nargs=-1)
@read_as_asked
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
    encoding: str | None,
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
    from homespun.api.report import Report, Rounded, calibrated, measured_beside, memorised
    from homespun.cli.screens.terminal import working
    from homespun.training.log_lines import Noted

    opened = homespun.load(model)
    opened.watcher = noted = Noted()
    other = homespun.load(against) if against else None
    with working("measuring"):
        split = opened.split_of(*text, field=field, encoding=encoding)
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
