"""homespun serve: a model behind an API that every client of OpenAI's speaks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.screens.plain import colours
from homespun.cli.screens.writing import weights_option
from homespun.errors import UsageError

if TYPE_CHECKING:
    from homespun.api.serve import Serving

KEY = "HOMESPUN_API_KEY"


@click.command()
@click.argument("model")
@click.option("--name", "names", multiple=True, metavar="NAME", help="What clients call it. Several are possible.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="NAME=DIR",
    help="An adapter over MODEL, served under its own name. Several share one batch.",
)
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Beyond this computer takes a key."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="[default: 8000, or a free one where it is taken]"
)
@click.option(
    "--uds",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A socket file for you alone, instead of a port.",
)
@click.option(
    "--api-key", metavar="KEY", help=f"What clients have to send; also ${KEY}. Beyond loopback one is made."
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="A name that this server may be called by."
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Pages of that origin may use it; * takes a key.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, 1024),
    metavar="N",
    default=16,
    show_default=True,
    help="How many texts are written at once.",
)
@click.option(
    "--queue",
    type=click.IntRange(0, 100_000),
    metavar="N",
    default=256,
    show_default=True,
    help="How many more may wait; beyond that clients are asked to come again.",
)
@click.option(
    "--most-n", type=click.IntRange(1, 128), metavar="N", default=16, show_default=True, help="The largest n."
)
@click.option(
    "--overflow",
    type=click.Choice(["refuse", "slide"]),
    default="refuse",
    show_default=True,
    help="A prompt beyond the context: refused, or cut, and the answer says so. A request may say otherwise.",
)
@click.option("--strict", is_flag=True, help="Refuse unknown parameters instead of ignoring them.")
@click.option("--log-prompts", is_flag=True, help="Write prompts into the log.")
@weights_option
@click.option(
    "--device", metavar="NAME", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
)
def command(model: str, names: tuple[str, ...], adapters: tuple[str, ...], **given: Any) -> None:
    """Serve MODEL over HTTP, in the form of OpenAI's API.

    MODEL is the folder that training wrote, or a folder with several of them: each is loaded when a request first
    names it. Requests are answered together, each as if it were alone. Nobody but this computer reaches the server
    unless you say so. docs/serve.md has the table of parameters, and how to point programs at it.

    \b
    Examples:
      homespun serve runs/shakespeare
      homespun serve smollm2 --name gpt-4o-mini --port 8080
      homespun serve runs/
      homespun serve smollm2 --adapter letters=runs/letters --adapter poems=runs/poems
    """
    import homespun

    asked_key = given.pop("api_key") or os.environ.get(KEY) or None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    homespun.serve(
        model,
        names=names,
        adapters=adapters_of(adapters),
        api_key=asked_key,
        socket_file=given.pop("uds"),
        allowed_hosts=given.pop("hosts"),
        allowed_origins=given.pop("origins"),
        ready=lambda serving: greet(serving, is_made=asked_key is None),
        **given,
    )


def greet(serving: Serving, *, is_made: bool) -> None:
    """The address, and commands that try it."""
    base, key, name = serving.url, serving.key, serving.models[0]
    click.echo(click.style(f"{base}/v1", bold=True) if colours(sys.stdout) else f"{base}/v1")
    click.echo(f"models: {', '.join(serving.models)}")
    if key is not None and is_made:
        click.echo(f"key: {key}")
    header = "" if key is None else f' -H "Authorization: Bearer {key if is_made else f"${KEY}"}"'
    place, url = ("", base) if not base.startswith("unix:") else (f" --unix-socket {base[5:]}", "http://localhost")
    body = f'{{"model": "{name}", "prompt": "Once", "max_tokens": 100}}'
    json = ' -H "Content-Type: application/json"'
    if key is not None and not is_made:
        click.echo(f"\nThe commands take the key from {KEY}:  export {KEY}=…")
    click.echo("\nTry it:\n")
    click.echo(f"  curl{place} {url}/v1/models{header}")
    click.echo(f"  curl{place} {url}/v1/completions{header}{json} -d '{body}'")
    if serving.chats:
        talk = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello!"}}], "stream": true}}'
        click.echo(f"  curl{place} -N {url}/v1/chat/completions{header}{json} -d '{talk}'")
    else:
        streamed = body[:-1] + ', "stream": true}'
        click.echo(f"  curl{place} -N {url}/v1/completions{header}{json} -d '{streamed}'")
    click.echo("\nCtrl-C ends it.")


def adapters_of(given: Sequence[str]) -> dict[str, Path]:
    """NAME=DIR, each. Raises UsageError."""
    found: dict[str, Path] = {}
    for one in given:
        name, separator, path = one.partition("=")
        if not (name and separator and path) or name in found:
            raise UsageError(
                f"--adapter {one!r} does not say which adapter is called what.",
                "It is written NAME=DIR, each name once: --adapter letters=runs/letters",
            )
        found[name] = Path(path).expanduser()
    return found
