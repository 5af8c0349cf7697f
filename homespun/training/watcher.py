"""What a run tells those who watch it: a terminal, a notebook, a test. Every method does nothing by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast

if TYPE_CHECKING:
    from homespun.evaluation.loss import Evaluation


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
    """One line of metrics.jsonl. Losses in nats per token.

    train_loss is the mean since the line before, val_loss that of val_tokens tokens of the validation text.
    """

    step: int
    tokens: int
    seconds: float
    train_loss: float | None
    val_loss: float
    bits_per_char: float
    bits_per_byte: float
    lr: float
    tokens_per_second: float
    val_tokens: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def read_again(self, found: Evaluation, seconds: float) -> Record:
        """The same weights, held against more of the validation text."""
        return replace(
            self,
            seconds=seconds,
            train_loss=None,
            val_loss=found.loss,
            val_tokens=found.tokens,
            bits_per_char=found.bits_per_char,
            bits_per_byte=found.bits_per_byte,
        )


@dataclass(frozen=True)
class Result:
    """What a run came to. The loss is that of the best weights, which are those in the folder, on `val_tokens`.

    compiled        whether the last steps were
    step_seconds    the mean of the last steps
    peak_memory     bytes that the program has held at most; 0 where the system does not say
    forecast        what was expected, where anything was
    """

    out: Path
    steps: int
    seconds: float
    parameters: int
    val_loss: float
    bits_per_char: float
    bits_per_byte: float
    val_tokens: int
    best_step: int
    interrupted: bool
    sample: str
    compiled: bool
    step_seconds: float
    peak_memory: int
    forecast: Forecast | None = None


class Watcher:
    """Override what you want to see. `with` a watcher, what it opened on a screen is closed at the end."""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def note(self, line: str) -> None:
        """Something that the user should know, in one line."""

    def downloaded(self, name: str, done: int, size: int) -> None:
        """Bytes that have come of what is being downloaded, and those there are, 0 where that is not known."""

    def prepared(self, done: int, total: int) -> None:
        """Characters of the text that have been turned into ids, and those there are."""

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        """The plan is made. forecast: what to expect of it, where anybody can say."""

    def changed(self, plan: BasePlan) -> None:
        """The run has changed its plan on the way: where it ends, in how many parts it computes, or how."""

    def stepped(self, progress: Progress) -> None: ...

    def evaluated(self, record: Record, best: bool) -> None: ...

    def sampled(self, text: str) -> None: ...

    def finished(self, result: Result) -> None: ...
