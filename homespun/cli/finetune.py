"""homespun finetune: a model that is there learns a text, or to answer as in conversations."""

from __future__ import annotations

import sys
from typing import Any

import click

from homespun.cli.errors import INTERRUPTED
from homespun.cli.run_options import in_processes, length_options, process_start, run_options
from homespun.cli.screens.plain import json_option, print_json
from homespun.distributed.place import is_first


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
@length_options
@click.option(
    "--as",
    "answers",
    metavar="NAME",
    help="TEXT is an export of a chat: learn to answer as NAME does in it.",
)
@click.option(
    "--pause",
    type=float,
    metavar="HOURS",
    help="With --as: so many hours without a message begin another conversation. [default: 6]",
)
@click.option(
    "--skip-bad",
    is_flag=True,
    default=None,
    help="Leave out records of conversations with something wrong in them, and count them.",
)
@run_options(folder="runs/MODEL-NAME-OF-TEXT", example="--set rank=8. Can be given again.")
@json_option
def command(
    model: str | None, text: tuple[str, ...], settings: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Tune MODEL on TEXT: any text, a code repository, or conversations.

    MODEL is a run folder, a Hugging Face folder, a .gguf file, a name on the hub, or smollm2. Conversations
    (messages, ShareGPT, Alpaca, preferences; .jsonl, .json, .csv) are recognised; only their answers are trained
    on. An export of a chat (WhatsApp, Telegram, Discord, Messenger, Slack) becomes conversations with --as NAME.
    What comes out is a folder that every command takes for MODEL: an adapter that `peft` opens, or with --full a
    whole model that `transformers` opens.

    \b
    Examples:
      homespun finetune smollm2 my-project/ --minutes 10
      homespun finetune smollm2 letters.txt --qlora --out runs/letters
      homespun finetune runs/book conversations.jsonl
      homespun finetune smollm2 "WhatsApp Chat with Anna.txt" --as Anna
      homespun finetune --plan runs/letters/plan.toml --out runs/letters-again
      homespun finetune --out runs/letters --resume
    """
    in_processes(options.pop("processes"))
    started = process_start()
    from homespun.api.finetune import tune
    from homespun.cli.screens.tuning import TuningLines, TuningLive, conclude

    if as_json or not is_first():
        result = tune(model, *text, settings=list(settings), watcher=TuningLines(), started=started, **options)
        if is_first():
            print_json(result.as_object())
    else:
        with TuningLive() if sys.stdout.isatty() else TuningLines(sys.stdout) as watcher:
            result = tune(model, *text, settings=list(settings), watcher=watcher, started=started, **options)
        conclude(result)
    if result.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
