"""homespun show: what a model is, from its folder or file, without loading its weights."""

from __future__ import annotations

import click

from homespun.cli.screens.plain import json_option, print_json


@click.command()
@click.argument("model")
@json_option
def command(model: str, as_json: bool) -> None:
    """Show what MODEL is: its shape, what it takes, its tokenizer, where it comes from.

    MODEL is a run folder, a Hugging Face folder, a .gguf file, the folder of an adapter, a name on the
    hub, or smollm2. Only the headers of its weights are read, so a large model takes no longer than a
    small one; they are held against what the model says of itself. Of a run of ours the plan, the loss
    and the training curve are shown as well.

    \b
    Examples:
      homespun show runs/shakespeare
      homespun show smollm2
      homespun show model.gguf --json
    """
    import homespun
    from homespun.cli.screens.terminal import working

    with working("looking"):
        portrait = homespun.show(model)
    if as_json:
        print_json(portrait)
    else:
        from homespun.cli.screens.show import show

        show(portrait)
