"""homespun studio: train, watch, write and look inside, in a browser."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from homespun.cli.errors import INTERRUPTED
from homespun.cli.screens.plain import colours

if TYPE_CHECKING:
    from homespun.api.studio import OpenStudio


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="[default: 8377, or a free one where it is taken]"
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that this studio may be called by."
)
@click.option("--open/--no-open", "opens", default=True, help="Open it in the browser. [default: do]")
def command(folder: Path, host: str, port: int | None, hosts: tuple[str, ...], opens: bool) -> None:
    """Train, watch, write and look inside, in a browser, over the runs below FOLDER.

    FOLDER is the one you are in by default. Runs of a terminal show up as well, and trainings that the studio
    starts go on when it ends. Nobody gets in without the address that is printed, and nothing outside of FOLDER
    can be read or trained on, but what you upload. docs/studio.md says more, also how to use it over SSH.

    \b
    Examples:
      homespun studio
      homespun studio ~/models --no-open --port 9000
    """
    import homespun

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for name in ("httpx", "homespun.serve"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        homespun.open_studio(
            folder,
            host=host,
            port=port,
            allowed_hosts=hosts,
            ready=lambda studio: greet(studio, opens=opens),
            is_alone=True,
        )
    except KeyboardInterrupt:
        end_at_once()


def end_at_once() -> NoReturn:
    """Everything is closed by now. What Python tidies up at its end takes a second of processor time, for which a
    process of low priority waits ten seconds beside a training."""
    click.echo("interrupted", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def greet(studio: OpenStudio, *, opens: bool) -> None:
    """The address, and how it ends."""
    click.echo(click.style(studio.url, bold=True) if colours(sys.stdout) else studio.url)
    click.echo("The studio is at this address, with all that stands behind #. Ctrl-C ends it; trainings go on.")
    if opens:
        import webbrowser

        # Some browsers hold the one who opens them up until they are closed.
        threading.Thread(target=webbrowser.open, args=(studio.url,), daemon=True).start()
