"""docs/cli.md, written from the commands themselves:  python -m homespun.cli.reference"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from homespun.cli.app import homespun
from homespun.planning.plan import settable

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAD = """\
# The command line

Written by `python -m homespun.cli.reference` from the commands themselves, so it is what `--help` says.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    return HEAD + "".join(f"\n{section(context)}" for context in commands(homespun)) + f"\n{settings()}"


def settings() -> str:
    """What `train --set` takes, with the help that stands beside each field of the plan."""
    rows = [f"| `{name}` | {cell(about)} |" for name, about in settable().items()]
    return (
        "\n".join(
            ["## Settings of a plan", "", "For `train --set KEY=VALUE`.", "", "| KEY | |", "|---|---|", *rows]
        )
        + "\n"
    )


def commands(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context for this command and every one below it."""
    context = click.Context(command, info_name=command.name, parent=parent, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, f"{name} is listed and not there"
            below.name = name
            yield from commands(below, context)


def section(context: click.Context) -> str:
    """One command: how it is written, what it does, its options."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## {context.command_path}", f"```\n{usage}\n```", *paragraphs(command.help or "")]
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context))]
    rows = [f"| `{cell(names)}` | {cell(about)} |" for names, about in records]
    parts.append("\n".join(["| option | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def paragraphs(help: str) -> Iterator[str]:
    """The help text's paragraphs; what click must not fold is an example, and set as it is."""
    for paragraph in cleandoc(help).split("\n\n"):
        if paragraph.startswith("\b"):
            title, *lines = paragraph.splitlines()[1:]
            yield title
            yield "```\n" + cleandoc("\n".join(lines)) + "\n```"
        else:
            yield paragraph


def cell(text: str) -> str:
    """Text for a cell of a table, where | would end it."""
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    click.echo(f"{PAGE} is written")
