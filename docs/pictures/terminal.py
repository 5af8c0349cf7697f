"""Draws a terminal's screen as a picture, from what tmux has captured with its colours:

tmux capture-pane -e -p | python docs/pictures/terminal.py "homespun train" > docs/pictures/train.svg
"""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PAPER = TerminalTheme(
    (253, 251, 247),
    (45, 42, 38),
    [
        (45, 42, 38),
        (185, 28, 28),
        (21, 128, 61),
        (161, 98, 7),
        (29, 78, 216),
        (134, 25, 143),
        (14, 116, 144),
        (120, 113, 108),
    ],
)


def picture(screen: str, title: str) -> str:
    """The screen, without empty lines at its end, as SVG that asks the network for nothing."""
    console = Console(width=80, record=True, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text.from_ansi(screen.rstrip("\n")), overflow="ignore", crop=False)
    svg = console.export_svg(title=title, theme=PAPER)
    # rich names a font on a server; the reader's own monospaced font does as well.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read(), sys.argv[1] if len(sys.argv) > 1 else "homespun"))
