"""What a run tells those who watch it: a terminal, a notebook, a test. Every method does nothing by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from homespun.training.plan import Plan


@dataclass(frozen=True)
class Progress:
    """A step that is done. seconds and seconds_left of the whole run; seconds_left is None until it is known."""

    step: int
    steps: int
    tokens: int
    train_loss: float
    lr: float
    tokens_per_second: float
    seconds: float
    seconds_left: float | None


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl. Losses in nats per token; train_loss is the mean since the line before."""

    step: int
    tokens: int
    seconds: float
    train_loss: float | None
    val_loss: float
    bits_per_char: float
    bits_per_byte: float
    lr: float
    tokens_per_second: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Result:
    """What a run came to. The loss is that of the best weights, which are those in the folder."""

    out: Path
    steps: int
    seconds: float
    parameters: int
    val_loss: float
    bits_per_char: float
    bits_per_byte: float
    best_step: int
    interrupted: bool
    sample: str


class Watcher:
    """Override what you want to see. `with` a watcher, what it opened on a screen is closed at the end."""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def note(self, line: str) -> None:
        """Something that the user should know, in one line."""

    def prepared(self, done: int, total: int) -> None:
        """Characters of the text that have been turned into ids, and those there are."""

    def planned(self, plan: Plan, out: Path, parameters: int) -> None:
        """The plan is made; called again when the number of steps is known, where it was left to the time."""

    def stepped(self, progress: Progress) -> None: ...

    def evaluated(self, record: Record, best: bool) -> None: ...

    def sampled(self, text: str) -> None: ...

    def finished(self, result: Result) -> None: ...
