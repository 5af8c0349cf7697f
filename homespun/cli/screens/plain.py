"""What every command needs to print, and no more: it is imported at the start."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import IO, Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")


def colours(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours, and the user wants them (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def shows_unicode(stream: IO[str]) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def write(text: str) -> None:
    """On standard output, and at once: what comes piece by piece is to be seen piece by piece."""
    sys.stdout.write(text)
    sys.stdout.flush()


def visible(text: str) -> str:
    """Control characters as symbols: what a file or a model says must not steer the terminal.

    >>> visible("two\\nlines, \\x1b[31mred\\x07")
    'two\\nlines, ␛[31mred␇'
    """
    return text.translate(SYMBOLS)


SYMBOLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
SYMBOLS |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)  # what turns lines around
SYMBOLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)  # delete, and the second set of controls


def program() -> str:
    """What a person types to call us: `homespun` where the shell finds it, else the path that was called.

    In a fresh `.venv` that nobody has activated, only the path works.
    """
    called = sys.argv[0]
    found = shutil.which("homespun")
    same = found is not None and os.path.realpath(found) == os.path.realpath(called)
    return "homespun" if same or not called.endswith("homespun") else shlex.quote(called)


def print_json(value: Any) -> None:
    """One JSON object on one line. What has no JSON of its own (infinity, not a number) becomes null."""
    line = json.dumps(jsonable(value), ensure_ascii=not shows_unicode(sys.stdout), allow_nan=False)
    click.echo(line)


def jsonable(value: Any) -> Any:
    """Dataclasses become objects, paths become strings.

    >>> jsonable({"loss": math.inf, "out": PurePath("runs/a")})
    {'loss': None, 'out': 'runs/a'}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: jsonable(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value
