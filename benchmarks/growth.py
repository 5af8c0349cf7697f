"""How the cost of a step grows with model, context and batch, and that of preparing with the text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pairs import Benchmark, Outcome, Work, alternate
from benchmarks.preparing import encoded, trained
from benchmarks.preparing_text import write_text
from benchmarks.sides import AS_IT_IS, QUICK, TINY, Shape, measured_pair

PICTURE = "growth.png"


@dataclass(frozen=True)
class Axis:
    """What grows, in what steps, and what stands on the picture's axis."""

    name: str
    sizes: tuple[float, ...]
    label: str
    plain: str = "plain way"


STEP_AXES = (
    Axis("width", (64, 128, 256, 512), "parameters"),
    Axis("layers", (1, 2, 4, 8, 16), "layers"),
    Axis("context", (32, 64, 128, 256, 512), "tokens of context"),
    Axis("sequences", (4, 8, 16, 32, 64), "sequences a step"),
)
TEXT_AXIS = Axis("text", (1, 2, 4, 8, 16, 32), "MB of text", plain="tokenizers")


def measure(work: Work) -> Outcome:
    """Seconds of a step, or of preparing a text, at every size, on both sides in turn."""
    points: dict[str, list[dict[str, float]]] = {}
    for axis in STEP_AXES[:1] if work.smoke else STEP_AXES:
        sizes: Sequence[float] = (8, 16) if work.smoke else axis.sizes
        points[axis.name] = [step_point(work, axis.name, int(size)) for size in sizes]
    points["text"] = text_points(work, (0.01, 0.02) if work.smoke else TEXT_AXIS.sizes)
    draw(points, work.pictures / PICTURE)
    exponents = {
        name: {side: round(exponent(found, side), 2) for side in ("ours", "plain")}
        for name, found in points.items()
    }
    return Outcome(values={}, unit="s", details={"points": points, "exponents": exponents})


def step_point(work: Work, name: str, size: int) -> dict[str, float]:
    shape = (TINY if work.smoke else Shape()).with_(**{name: size})
    blocks, steps, conditions = (1, 1, QUICK) if work.smoke else (4, 3, AS_IT_IS)
    pairs = [
        measured_pair(shape, work.folder, blocks=blocks, steps=steps, conditions=conditions)
        for _ in range(work.rounds)
    ]
    x = pairs[0].facts["parameters"] if name == "width" else size
    return say(name, x, [pair.ours for pair in pairs], [pair.plain for pair in pairs])


def text_points(work: Work, megabytes: Sequence[float]) -> list[dict[str, float]]:
    """One tokenizer for all lengths, trained on the longest text."""
    longest = work.folder / "longest.txt"
    write_text(longest, max(megabytes), smoke=work.smoke)
    tokenizer = trained(longest, work.folder / "tokenizer", 300 if work.smoke else 8192)
    found = []
    for size in megabytes:
        text = work.folder / f"{size}.txt"
        write_text(text, size, smoke=work.smoke)

        def seconds(side: str, text: Path = text) -> Callable[[], float]:
            return lambda: float(encoded(side, text, tokenizer, work.folder, 1)["seconds"])

        found.append(say("text", size, *alternate(work.rounds, seconds("ours"), seconds("tokenizers"))))
    return found


def say(name: str, x: float, ours: list[float], plain: list[float]) -> dict[str, float]:
    """A point, printed as it is known: the whole takes a while. The best of the rounds: noise only adds."""
    point = {"x": x, "ours": float(f"{min(ours):.4g}"), "plain": float(f"{min(plain):.4g}")}
    print(f"{name} {x:,.6g}: ours {point['ours']:.4g} s, plain {point['plain']:.4g} s", flush=True)
    return point


def exponent(points: Sequence[dict[str, float]], side: str) -> float:
    """The p of cost ~ x^p: the slope in the log-log picture, by least squares.

    >>> round(exponent([{"x": 1, "ours": 3}, {"x": 2, "ours": 12}, {"x": 4, "ours": 48}], "ours"), 6)
    2.0
    """
    x = [math.log(point["x"]) for point in points]
    y = [math.log(point[side]) for point in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def draw(points: dict[str, list[dict[str, float]]], path: Path) -> None:
    """A panel for each axis, both sides in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes = [axis for axis in (*STEP_AXES, TEXT_AXIS) if axis.name in points]
    columns = min(3, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flat  # goes on where it was left
    for axis, panel in zip(axes, panels, strict=False):
        x = [point["x"] for point in points[axis.name]]
        for side, colour, label in (("plain", "#9aa5b1", axis.plain), ("ours", "#c2410c", "homespun")):
            y = [point[side] for point in points[axis.name]]
            panel.loglog(x, y, color=colour, marker="o", markersize=3.5, label=label)
        panel.set_xticks(x, [short(size) for size in x])
        panel.set_xticks([], minor=True)
        panel.set_xlabel(axis.label)
        panel.set_ylabel("seconds" if axis is TEXT_AXIS else "seconds a step")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(which="major", color="#e5e7eb")
        panel.legend(frameon=False)
    for panel in panels:  # what is left of them
        panel.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def short(size: float) -> str:
    """
    >>> short(32), short(197_440), short(12_720_600)
    ('32', '197 k', '12.7 M')
    """
    if size < 1e4:
        return f"{size:g}"
    return f"{size / 1e6:.3g} M" if size >= 1e6 else f"{size / 1e3:.3g} k"


def section(result: dict[str, Any]) -> str:
    """The exponents as a table, and the picture."""
    labels = {axis.name: axis.label for axis in (*STEP_AXES, TEXT_AXIS)}
    rows = []
    for name, points in result["details"]["points"].items():
        slopes = result["details"]["exponents"][name]
        x, seconds = ([point[name] for point in (points[0], points[-1])] for name in ("x", "ours"))
        rows.append(
            f"| {labels[name]} | {x[0]:,.6g} to {x[1]:,.6g} | {seconds[0]:.3g} to {seconds[1]:.3g} s "
            f"| {slopes['ours']:.2f} | {slopes['plain']:.2f} |"
        )
    return "\n".join(
        [
            "## How cost grows",
            "",
            "Seconds of a training step (4 layers, 256 wide, context 128, 32 sequences, and one of them changed), "
            "and of preparing a text. An exponent of 1 is: twice as much costs twice as much. The plain way is "
            "`tokenizers` for the text, in one thread.",
            "",
            "| what grows | from, to | ours takes | exponent | of the plain way |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"![Seconds over size, both axes logarithmic](pictures/{PICTURE})",
        ]
    )


BENCHMARK = Benchmark(
    "growth",
    "how cost grows with model size, context, batch and text length, as a table and log-log pictures",
    measure,
    section=section,
)

if __name__ == "__main__":
    BENCHMARK.main()
