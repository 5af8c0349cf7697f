"""What `generate` and `chat` have in common: the options of generation, and loading the model for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from homespun.generation.settings import KINDS, Sampling

if TYPE_CHECKING:
    from homespun.api.language_model import LanguageModel


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


weights_option = click.option(
    "--weights",
    type=click.Choice(["auto", *KINDS]),
    default="auto",
    show_default=True,
    help="What the weights are rounded to while it writes: float32 is exactly the model, int8 the quickest; auto "
    "is bfloat16 for large models. homespun evaluate MODEL --weights int8 says what that costs.",
)


def prepare_to_write(opened: LanguageModel) -> None:
    """Has the compiled step made where it is not there: now where the engine would wait for it, else beside the
    first text that is ever written here."""
    from homespun.kernels.decoding.source import STEP

    if not opened.engine.cached or opened.model.device.type != "cpu":
        return
    if not opened.engine.wait:
        STEP.compile_beside()
    elif STEP.library() is None:
        from homespun.cli.screens.terminal import working

        with working("compiling what makes it quick; this is done once"):
            STEP.library(wait=True)
