"""A run's losses, drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from rich.style import Style
from rich.text import Text

HEIGHT = 10  # lines
FEWEST = 3  # points that make a curve
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character: 4 down, 2 across
TRAINED, VALIDATED = Style(color="bright_black"), Style(color="#c2410c", bold=True)

Point = tuple[float, float]  # tokens read, loss
Cells = dict[tuple[int, int], int]  # (line, column) -> the dots of that character


def curve(points: Sequence[tuple[int, float | None, float]], width: int, *, unicode: bool = True) -> list[Text]:
    """The lines of a picture so many columns wide: training loss in grey, validation loss in colour over it.

    points: tokens read, training loss or None, validation loss. Without unicode, dots and stars. What was measured
    before the first step is left out, where there is more: next to it all that follows would be flat.
    """
    later = [point for point in points if point[0]]
    points = later if len(later) >= FEWEST else points
    trained = [(float(tokens), loss) for tokens, loss, _ in points if loss is not None]
    validated = [(float(tokens), loss) for tokens, _, loss in points]
    losses = [loss for _, loss in trained + validated]
    low, high = min(losses), max(losses)
    labels = [f"{high:.2f}", *[""] * (HEIGHT - 2), f"{low:.2f}"]
    labels[HEIGHT // 2] = f"{(low + high) / 2:.2f}"
    margin = max(map(len, labels)) + 2
    columns = max(width - margin, 10)
    end = max(tokens for tokens, _ in validated) or 1.0
    one, other = (drawn(line, columns, end, low, high, unicode) for line in (trained, validated))
    lines = []
    for line, label in enumerate(labels):
        text = Text(f"{label:>{margin - 2}} {axis(bool(label), unicode)}", "dim")
        cells = [
            cell(one.get((line, column), 0), other.get((line, column), 0), unicode) for column in range(columns)
        ]
        for style, alike in groupby(cells, key=itemgetter(1)):
            text.append("".join(sign for sign, _ in alike), style)
        lines.append(text)
    return [*lines, Text(" " * margin + "0" + f"{short(end)} tokens read".rjust(columns - 1), "dim")]


def axis(marked: bool, unicode: bool) -> str:
    if not unicode:
        return "+" if marked else "|"
    return "┤" if marked else "│"


def cell(trained: int, validated: int, unicode: bool) -> tuple[str, Style]:
    """What stands in one place: validation is drawn over training."""
    style = VALIDATED if validated else TRAINED
    if unicode:
        return chr(0x2800 + (trained | validated)), style
    return "*" if validated else "." if trained else " ", style


def drawn(line: Sequence[Point], columns: int, end: float, low: float, high: float, unicode: bool) -> Cells:
    """A line through points, as dots."""
    across, down = (2, 4) if unicode else (1, 1)
    most = columns * across - 1, HEIGHT * down - 1
    places = [
        (round(tokens / end * most[0]), round((high - loss) / ((high - low) or 1.0) * most[1]))
        for tokens, loss in line
    ]
    cells: Cells = {}
    for x, y in path(places):
        place = (y // down, x // across)
        cells[place] = cells.get(place, 0) | DOTS[y % down][x % across]
    return cells


def path(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """All dots of a line through these.

    >>> path([(0, 0), (2, 1), (2, 3)])
    [(0, 0), (1, 0), (2, 1), (2, 2), (2, 3)]
    """
    found = list(places[:1])
    for (x, y), (to_x, to_y) in pairwise(places):
        steps = max(abs(to_x - x), abs(to_y - y))
        found += [
            (round(x + (to_x - x) * step / steps), round(y + (to_y - y) * step / steps))
            for step in range(1, steps + 1)
        ]
    return found


def short(number: float) -> str:
    """
    >>> short(4_818_944), short(20_000), short(7)
    ('4.8 M', '20 k', '7')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.2g} {letter}" if number < 100 * size else f"{number / size:.0f} {letter}"
    return f"{number:.0f}"
