"""How the cost of a step grows with model, context and batch, and that of preparing with the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pairs import Benchmark, Outcome, Work
from benchmarks.preparing import check_ids, encoded, trained
from benchmarks.preparing_text import write_text
from benchmarks.rounds import NotReached, Value, attempt, each, joined, reached
from benchmarks.sides import AS_IT_IS, QUICK, TINY, Shape, measured_pair

PICTURE = "growth.png"

Point = dict[str, Any]  # x, and the seconds of ours and plain; or only why it was not reached


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
    points: dict[str, list[Point]] = {}
    for axis in STEP_AXES[:1] if work.smoke else STEP_AXES:
        sizes: Sequence[float] = (8, 16) if work.smoke else axis.sizes
        points[axis.name] = [step_point(work, axis.name, int(size)) for size in sizes]
    points["text"] = text_points(work, (0.01, 0.02) if work.smoke else TEXT_AXIS.sizes)
    draw(points, work.pictures / PICTURE)
    exponents = {
        name: {side: exponent(found, side) for side in ("ours", "plain")} for name, found in points.items()
    }
    return Outcome(values={}, unit="s", details={"points": points, "exponents": exponents})


def step_point(work: Work, name: str, size: int) -> Point:
    shape = (TINY if work.smoke else Shape()).with_(**{name: size})
    blocks, steps, conditions = (1, 1, QUICK) if work.smoke else (4, 3, AS_IT_IS)
    pairs = [
        attempt(measured_pair, shape, work.folder, blocks=blocks, steps=steps, conditions=conditions)
        for _ in range(work.rounds)
    ]
    x = reached(pairs)[0].facts["parameters"] if name == "width" and reached(pairs) else size
    return say(name, size, x, each(pairs, lambda pair: pair.ours), each(pairs, lambda pair: pair.plain))


def text_points(work: Work, megabytes: Sequence[float]) -> list[Point]:
    """One tokenizer for all lengths, trained on the longest text."""
    longest = work.folder / "longest.txt"
    write_text(longest, max(megabytes), smoke=work.smoke)
    tokenizer = trained(longest, work.folder / "tokenizer", 300 if work.smoke else 8192)
    found = []
    for size in megabytes:
        text = work.folder / f"{size}.txt"
        write_text(text, size, smoke=work.smoke)

        def seconds(text: Path = text) -> tuple[float, float]:
            ours, theirs = (encoded(side, text, tokenizer, work.folder, 1) for side in ("ours", "tokenizers"))
            check_ids("tokenizers", theirs, ours)
            return float(ours["seconds"]), float(theirs["seconds"])

        rounds = [attempt(seconds) for _ in range(work.rounds)]
        found.append(
            say("text", size, size, each(rounds, lambda pair: pair[0]), each(rounds, lambda pair: pair[1]))
        )
    return found


def say(name: str, size: float, x: float, ours: list[Value], plain: list[Value]) -> Point:
    """A point, printed as it is known: the whole takes a while. The best of the rounds: noise only adds."""
    missing = [one for one in (*ours, *plain) if isinstance(one, NotReached)]
    if missing:
        why = f"{name} {size:,.6g} was not reached: {joined(missing)}"
        print(why, flush=True)
        return {"not_reached": why}
    point = {"x": x, "ours": float(f"{min(reached(ours)):.4g}"), "plain": float(f"{min(reached(plain)):.4g}")}
    print(f"{name} {x:,.6g}: ours {point['ours']:.4g} s, plain {point['plain']:.4g} s", flush=True)
    return point


def exponent(points: Sequence[Point], side: str) -> float | None:
    """The p of cost ~ x^p: the slope in the log-log picture, by least squares. None where a point is missing.

    >>> exponent([{"x": 1, "ours": 3}, {"x": 2, "ours": 12}, {"x": 4, "ours": 48}], "ours")
    2.0
    """
    if any("not_reached" in point for point in points):
        return None
    x = [math.log(point["x"]) for point in points]
    y = [math.log(point[side]) for point in points]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    together = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return round(together / sum((a - mean_x) ** 2 for a in x), 2)


def draw(points: dict[str, list[Point]], path: Path) -> None:
    """A panel for each axis, both sides in it, without the points that were not reached."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes = [axis for axis in (*STEP_AXES, TEXT_AXIS) if axis.name in points]
    columns = min(3, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flat  # goes on where it was left
    for axis, panel in zip(axes, panels, strict=False):
        known = [point for point in points[axis.name] if "not_reached" not in point]
        x = [point["x"] for point in known]
        for side, colour, label in (("plain", "#9aa5b1", axis.plain), ("ours", "#c2410c", "homespun")):
            panel.loglog(
                x, [point[side] for point in known], color=colour, marker="o", markersize=3.5, label=label
            )
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
    rows, missing = [], []
    for name, points in result["details"]["points"].items():
        if not_reached := [f"- {point['not_reached']}" for point in points if "not_reached" in point]:
            missing += not_reached
            rows.append(f"| {labels[name]} | not reached | | | |")
            continue
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
            *([*missing, ""] if missing else []),
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
