"""The plan of a training run, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.api.train_setup import Asked, Given, prepared_anew
from homespun.machine.activity import on_quiet_computer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from homespun.dataset.doctor import Examination
    from homespun.dataset.preparation import Dataset
    from homespun.planning.facts import Facts
    from homespun.planning.forecast import Forecast
    from homespun.planning.plan import Plan
    from homespun.planning.planner import Alternative
    from homespun.text.corpus import Corpus
    from homespun.training.watcher import Watcher


@dataclass(frozen=True)
class Planned:
    """A plan, the facts it is based on, its forecast, and the data doctor's report on the text.

    smaller, larger: the best models of at most half and at least twice the size, if the size is searched for.
    """

    plan: Plan
    forecast: Forecast
    facts: Facts
    parameters: int
    corpus: Corpus
    dataset: Dataset
    examination: Examination
    smaller: Alternative | None
    larger: Alternative | None

    def as_object(self) -> dict[str, Any]:
        """The plan and all that is known of it as JSON."""
        forecast, loss = self.forecast, self.forecast.loss
        return {
            "text": self.corpus.title,
            "train_tokens": self.facts.train_tokens,
            "val_tokens": self.facts.val_tokens,
            "plan": {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self.plan).items()},
            "parameters": self.parameters,
            "epochs": forecast.epochs,
            "planned_seconds": forecast.seconds,
            "planned_memory": forecast.memory,
            "memory_free": self.facts.memory_free,
            "counting": list(self.facts.ngram_losses),
            "expected_loss": loss and loss.loss,
            "expected_loss_low": loss and loss.low,
            "expected_loss_high": loss and loss.high,
            "vocab_size": self.dataset.vocab_size,
            "forecast": forecast.as_object(),
            "smaller": self.smaller and vars(self.smaller),
            "larger": self.larger and vars(self.larger),
            "notes": list(self.examination.notes),
            "findings": [vars(finding) for finding in self.examination.findings],
        }


@on_quiet_computer
def plan(*text: str | Path, watcher: Watcher | None = None, **asked: Unpack[Asked]) -> Planned:
    """What `train` would do with these arguments: data, size, memory, time, expected loss. Trains nothing.

    asked: minutes, steps, model, size, tokenizer, context, seed, field, device, dtype, settings; see `Asked`.
    """
    from homespun.dataset.doctor import examine
    from homespun.planning.forecast import forecast_of
    from homespun.planning.planner import alternatives
    from homespun.training.log_lines import LogLines

    prepared = prepared_anew(Given.of(text, asked), LogLines() if watcher is None else watcher)
    assert prepared.corpus and prepared.facts and prepared.wishes, "a plan that is made anew has them"
    forecast = forecast_of(prepared.plan, prepared.facts)
    smaller, larger = alternatives(prepared.wishes, prepared.facts, prepared.plan)
    return Planned(
        plan=prepared.plan,
        forecast=forecast,
        facts=prepared.facts,
        parameters=prepared.plan.config(prepared.dataset.vocab_size).number_of_parameters(),
        corpus=prepared.corpus,
        dataset=prepared.dataset,
        examination=examine(prepared.corpus, dataset=prepared.dataset, epochs=forecast.epochs),
        smaller=smaller,
        larger=larger,
    )
