"""Tokens a second over how many texts are written at once and how much stands before them."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.generation import in_transformers, model_to_write, prompt, their_seconds
from benchmarks.pairs import Benchmark, Outcome, Work, alternate
from benchmarks.rounds import Failed, NotReached, Value, attempt, check_tokens, joined, reached
from homespun.generation.engine import Engine
from homespun.generation.request import Request
from homespun.generation.settings import Sampling

TEXTS = (1, 2, 4, 8, 16, 32)
CONTEXTS = (64, 128, 256, 512, 1024)
WRITTEN = 24  # tokens a text, behind the first one: that one is not counted, nor is reading the prompt
PICTURE = "generation-chart.png"

Point = dict[str, Any]  # texts, context, and the rates of ours and transformers; or why they were not reached

# From pale to dark, the more texts.
COLOURS = ("#fdba74", "#fb923c", "#f97316", "#ea580c", "#c2410c", "#7c2d12")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default="bfloat16", help="float32, bfloat16 or int8 [default: bfloat16]")


def measure(work: Work) -> Outcome:
    texts, contexts = ((1, 2), (64,)) if work.smoke else (TEXTS, CONTEXTS)
    model = model_to_write(work, context_length=max(contexts))
    theirs = in_transformers(model, work.folder)
    engine = Engine(model, weights=work.options.weights, streams=max(texts), wait=True)
    for rate, side in ((ours_rate, engine), (their_rate, theirs)):
        attempt(rate, side, 1, contexts[0])  # the first time takes longer
    points = []
    for context in contexts:
        for count in texts:
            sides = (
                lambda count=count, context=context: ours_rate(engine, count, context),
                lambda count=count, context=context: their_rate(theirs, count, context),
            )
            points.append(point_of(count, context, *alternate(work.rounds, *sides)))
    draw([point for point in points if "not_reached" not in point], work.pictures / PICTURE)
    return Outcome(
        values={},
        unit="tokens/s",
        notes=[
            f"ours: {type(getattr(engine.runner, 'step', None)).__name__}, weights in {work.options.weights}; "
            "transformers in float32, all texts as one batch of its generate",
            f"{model.number_of_parameters():,} random weights; each text writes {WRITTEN} tokens at the end of "
            "its context, and these are timed; the best of the rounds",
        ],
        details={"points": points},
    )


def point_of(texts: int, context: int, ours: list[Value], theirs: list[Value]) -> Point:
    """Printed as it is known. The best of the rounds: noise only slows down."""
    where: Point = {"texts": texts, "context": context}
    missing = [one for one in (*ours, *theirs) if isinstance(one, NotReached)]
    if missing:
        print(f"{texts} texts, {context} tokens: not reached: {joined(missing)}", flush=True)
        return {**where, "not_reached": joined(missing)}
    best, plain = max(reached(ours)), max(reached(theirs))
    print(f"{texts} texts, {context} tokens: ours {best:,.0f}, transformers {plain:,.0f} a second", flush=True)
    return {**where, "ours": round(best, 1), "transformers": round(plain, 1)}


def ours_rate(engine: Engine, texts: int, context: int) -> float:
    """Tokens a second of all texts together, once all prompts are read."""
    length = context - WRITTEN - 1
    requests = [
        Request(prompt(length, seed), max_tokens=WRITTEN + 1, sampling=Sampling(seed=seed))
        for seed in range(texts)
    ]
    streams = [engine.submit(request) for request in requests]
    while not all(stream.ready() for stream in streams):
        engine.step()
    before = sum(len(stream.sequence.tokens) for stream in streams)
    began = time.perf_counter()
    while engine.busy():
        engine.step()
    seconds = time.perf_counter() - began
    written = sum(len(stream.sequence.tokens) for stream in streams)
    check_tokens("ours", written, texts * (WRITTEN + 1))
    return (written - before) / seconds


def their_rate(model: Any, texts: int, context: int) -> float:
    """The same: the time for the whole less the time for the first token."""
    length = context - WRITTEN - 1
    ids = torch.tensor([prompt(length, seed) for seed in range(texts)])
    first, whole = (their_seconds(model, ids, count) for count in (1, WRITTEN + 1))
    if whole <= first:
        raise Failed(f"transformers took longer for the first token than for {WRITTEN + 1}")
    return texts * WRITTEN / (whole - first)


def draw(points: list[Point], path: Path) -> None:
    """A line for each number of texts, ours and, dashed, transformers', without what was not reached."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for count, colour in zip(
        sorted({point["texts"] for point in points}, reverse=True), reversed(COLOURS), strict=False
    ):
        line = [point for point in points if point["texts"] == count]
        x = [point["context"] for point in line]
        label = f"{count:.0f} text{'s' if count > 1 else ''}"
        axes.plot(x, [point["ours"] for point in line], color=colour, marker="o", markersize=3.5, label=label)
        axes.plot(x, [point["transformers"] for point in line], color=colour, linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    contexts = sorted({point["context"] for point in points})
    axes.set_xticks(contexts, [f"{context:.0f}" for context in contexts])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("tokens that stand before")
    axes.set_ylabel("tokens a second, all texts together")
    axes.set_title("homespun, and transformers (dotted)", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def section(result: dict[str, Any]) -> str:
    """A table with a line for each number of texts, and the picture."""
    points = result["details"]["points"]
    contexts = sorted({point["context"] for point in points})
    found = {(point["texts"], point["context"]): point for point in points}
    rows = []
    for count in sorted({point["texts"] for point in points}):
        rows.append(f"| {count} | " + " | ".join(cell(found[count, context]) for context in contexts) + " |")
    missing = [
        f"- {point['texts']} texts, {point['context']:,} tokens: {point['not_reached']}"
        for point in points
        if "not_reached" in point
    ]
    return "\n".join(
        [
            "## Tokens a second, over texts and context",
            "",
            "All texts together, 10.7 million parameters, when so many tokens stand before; in brackets how many "
            "times `transformers` that is, which writes the same texts as one batch.",
            "",
            "| texts | " + " | ".join(f"{context:,} tokens" for context in contexts) + " |",
            "|---|" + "---|" * len(contexts),
            *rows,
            "",
            *([*missing, ""] if missing else []),
            f"![Tokens a second over the tokens before, a line for each number of texts](pictures/{PICTURE})",
        ]
    )


def cell(point: Point) -> str:
    """
    >>> cell({"ours": 1240.2, "transformers": 230.7}), cell({"not_reached": "ours wrote 24 tokens of 25"})
    ('1,240 (5.4)', 'not reached')
    """
    if "not_reached" in point:
        return "not reached"
    return f"{point['ours']:,.0f} ({point['ours'] / point['transformers']:.1f})"


BENCHMARK = Benchmark(
    "generation_chart",
    "tokens a second over texts at once and context, as a table and a picture",
    measure,
    rounds=1,
    add_options=add_options,
    section=section,
)

if __name__ == "__main__":
    BENCHMARK.main()
