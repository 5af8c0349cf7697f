"""curve.png: a plot of the losses of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence

from homespun.training.watcher import Record


def draw_curve(records: Sequence[Record], title: str) -> bytes:
    """A PNG of training and validation loss over training tokens. Needs at least one record."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    best = min(records, key=lambda record: record.val_loss)
    trained = [(record.tokens, record.train_loss) for record in records if record.train_loss is not None]
    if trained:
        axes.plot(*zip(*trained, strict=True), color="#9aa5b1", label="training")
    axes.plot(
        [r.tokens for r in records],
        [r.val_loss for r in records],
        color="#c2410c",
        marker="o",
        markersize=3.5,
        label="validation",
    )
    axes.annotate(
        f"{best.val_loss:.3f}",
        (best.tokens, best.val_loss),
        textcoords="offset points",
        xytext=(0, 9),
        ha="center",
        color="#c2410c",
    )
    axes.margins(y=0.12)
    axes.set_xlabel("tokens read")
    axes.set_ylabel("loss, nats per token")
    axes.set_title(title, loc="left", fontsize=11)
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e7eb")
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def short(number: float) -> str:
    """Format a number with the letter k, M or B.

    >>> short(1_500_000), short(20_000), short(7)
    ('1.5M', '20k', '7')
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
