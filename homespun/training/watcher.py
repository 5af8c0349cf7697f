"""What a run reports to its watcher: a terminal, a notebook, a test. Every method does nothing by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.planning.base_plan import BasePlan
from homespun.planning.forecast import Forecast

if TYPE_CHECKING:
    from homespun.evaluation.loss import Evaluation

NOT_IN_JSON = ("sample", "sample_before", "forecast")  # of a result: long, or given as numbers of its own


@dataclass(frozen=True)
class Progress:
    """A step is done.

    seconds, seconds_left   of the whole run; seconds_left is None while it is unknown
    mfu                     the share of the device's peak rate that training takes; 0 where the peak is unknown
    """

    step: int
    steps: int
    tokens: int
    train_loss: float
    lr: float
    tokens_per_second: float
    seconds: float
    seconds_left: float | None
    mfu: float = 0.0


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl. Losses in nats per token.

    train_loss is the mean since the line before, val_loss that of val_tokens tokens of the validation split.
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
        """A record of the same weights, evaluated on more of the validation split."""
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
    """The result of a run. The loss is that of the best weights, which are in the folder, on `val_tokens` tokens.

    compiled        whether the last steps were compiled
    step_seconds    the mean of the last steps
    peak_memory     peak bytes of the program, or of a GPU; 0 if the system does not report it
    forecast        the forecast of the plan, if there was one
    mfu             model FLOPs utilisation of the last steps; 0 where the device's peak rate is unknown
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
    mfu: float = 0.0

    def as_object(self) -> dict[str, Any]:
        """The result as JSON, beside what was expected of it; null where nothing was. It has no sample."""
        loss = self.forecast.loss if self.forecast else None
        mine = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in NOT_IN_JSON}
        return mine | {
            "expected_loss": loss and loss.loss,
            "expected_loss_low": loss and loss.low,
            "expected_loss_high": loss and loss.high,
            "planned_seconds": self.forecast and self.forecast.seconds,
            "planned_memory": self.forecast and self.forecast.memory,
        }


class Watcher:
    """Override what you want to see. Leaving `with watcher:` closes whatever it opened on a screen."""

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def note(self, line: str) -> None:
        """One line that the user should know."""

    def downloaded(self, name: str, done: int, size: int) -> None:
        """Bytes downloaded so far, and the size in bytes, or 0 if it is unknown."""

    def prepared(self, done: int, total: int) -> None:
        """Characters of the text that are tokenized so far, and their total."""

    def planned(self, plan: BasePlan, out: Path, parameters: int, forecast: Forecast | None = None) -> None:
        """The plan is decided. forecast: what to expect of it, if there is an estimate."""

    def changed(self, plan: BasePlan) -> None:
        """The run has changed its plan: the number of steps, of micro-batches, or the compilation."""

    def stepped(self, progress: Progress) -> None: ...

    def evaluated(self, record: Record, best: bool) -> None: ...

    def sampled(self, text: str) -> None: ...

    def finished(self, result: Result) -> None: ...
