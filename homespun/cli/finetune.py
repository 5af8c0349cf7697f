"""homespun finetune: a model that is there learns a text, or to answer as in conversations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.plain import json_option, print_json
from homespun.cli.telling import INTERRUPTED
from homespun.device import DTYPES

if TYPE_CHECKING:
    from homespun.finetuning import TuningResult


@click.command()
@click.argument("model", required=False)
@click.argument("text", nargs=-1)
@click.option("--lora", "method", flag_value="lora", help="Small matrices beside the model's. [default]")
@click.option(
    "--qlora",
    "method",
    flag_value="qlora",
    help="The same, with the model itself in four bits: the least memory. Needs homespun[finetune].",
)
@click.option("--full", "method", flag_value="full", help="All weights of the model: the most memory.")
@click.option(
    "--minutes", type=float, metavar="M", help="Train for that long, from the command to its end. [default: 5]"
)
@click.option(
    "--steps", type=int, metavar="N", help="Train for that many updates of the weights, however long they take."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the run. [default: runs/MODEL-NAME-OF-TEXT]",
)
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same model. [default: 1337]")
@click.option("--field", metavar="NAME", help="The field of a .jsonl, .csv or .parquet file that holds the text.")
@click.option("--plan", type=click.Path(path_type=Path), metavar="FILE", help="Replay the plan.toml of a run.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one number of the plan, such as --set rank=8. Can be given again.",
)
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps. [default: auto]")
@click.option(
    "--dtype",
    type=click.Choice(["auto", *DTYPES]),
    help="Of matrix products; auto is bfloat16 where the processor multiplies in it. [default: auto]",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out; start it where nothing is there yet.")
@json_option
def command(
    model: str | None, text: tuple[str, ...], settings: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Tune MODEL on TEXT: any text, a code repository, or conversations.

    MODEL is a run folder, a Hugging Face folder, a .gguf file, a name on the hub, or smollm2. Conversations
    (messages, ShareGPT, Alpaca; .jsonl, .json, .csv) are recognised; of them the answers are learnt.
    What comes out is a folder that every command takes for MODEL: an adapter that `peft` opens, or with
    --full a whole model that `transformers` opens.

    \b
    Examples:
      homespun finetune smollm2 my-project/ --minutes 10
      homespun finetune smollm2 letters.txt --qlora --out runs/letters
      homespun finetune runs/book conversations.jsonl
      homespun finetune --plan runs/letters/plan.toml --out runs/letters-again
      homespun finetune --out runs/letters --resume
    """
    from homespun.cli.train import process_start

    started = process_start()
    from homespun.api.tuning import tune
    from homespun.cli.tuning_screen import TuningLines, TuningLive, conclude

    if as_json:
        result = tune(model, *text, settings=list(settings), watcher=TuningLines(), started=started, **options)
        print_json(outcome(result))
    else:
        with TuningLive() if sys.stdout.isatty() else TuningLines(sys.stdout) as watcher:
            result = tune(model, *text, settings=list(settings), watcher=watcher, started=started, **options)
        conclude(result)
    if result.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)


JSON_FIELDS = (
    "out",
    "seconds",
    "val_loss_before",
    "val_loss",
    "bits_per_byte_before",
    "bits_per_byte",
    "general_before",
    "general",
    "method",
    "steps",
    "best_step",
    "val_tokens",
    "parameters",
    "learnt",
    "step_seconds",
    "peak_memory",
    "interrupted",
)


def outcome(result: TuningResult) -> dict[str, Any]:
    """What came of it. general: bits per byte of a text that has nothing to do with the user's."""
    forecast = result.forecast
    return {name: getattr(result, name) for name in JSON_FIELDS} | {
        "planned_seconds": forecast and forecast.seconds,
        "planned_memory": forecast and forecast.memory,
    }
