"""What can be measured of a model on a text, in one report: loss, a comparison, calibration, memorisation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from homespun.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np

    from homespun.api.language_model import LanguageModel
    from homespun.dataset.shards import Split
    from homespun.evaluation.calibration import Calibration
    from homespun.evaluation.loss import Evaluation
    from homespun.evaluation.memorisation import Memorisation

# Generated to find memorised passages: continuations of pieces of the held-out text.
SAMPLES, SAMPLE_TOKENS, PROMPT_TOKENS = 16, 256, 16


@dataclass
class Beside:
    """The second of two models."""

    model: str
    result: Evaluation
    vocab_size: int
    same_tokenizer: bool


@dataclass
class Rounded:
    """The same model with its weights rounded to a kind."""

    kind: str
    result: Evaluation


@dataclass
class Report:
    """What was asked for, and what was found."""

    model: str
    text: tuple[str, ...]
    result: Evaluation
    vocab_size: int
    notes: list[str]  # what was noticed in reading the text
    against: Beside | None = None
    rounded: Rounded | None = None
    calibration: Calibration | None = None
    memorisation: Memorisation | None = None

    def as_object(self) -> dict[str, Any]:
        """The report as JSON. What was not asked for is not in it."""
        said: dict[str, Any] = {"model": self.model, "text": list(self.text), **self.result.as_object()}
        said["notes"] = self.notes
        if self.against:
            same = self.against.same_tokenizer
            said["against"] = {
                "model": self.against.model,
                "same_tokenizer": same,
                **self.against.result.as_object(),
            }
        if self.rounded:
            said["weights"] = {
                "float32": self.result.as_object(),
                self.rounded.kind: self.rounded.result.as_object(),
            }
        if self.calibration:
            said["calibration"] = asdict(self.calibration)
        if self.memorisation:
            said["memorisation"] = asdict(self.memorisation)
        return said


def measured_beside(
    name: str, other: LanguageModel, opened: LanguageModel, split: Split, stride: int | None
) -> Beside:
    """The other model on the text of that split, whatever its tokenizer."""
    from homespun.evaluation.comparison import same_text

    theirs = same_text(split, opened.tokenizer, other.tokenizer)
    result = other.evaluate_split(theirs, stride=stride)
    return Beside(name, result, other.tokenizer.vocab_size, theirs is split)


def calibrated(opened: LanguageModel, split: Split, stride: int | None) -> Calibration:
    from homespun.evaluation.calibration import calibrate

    return calibrate(opened.model, split, stride=stride, autocast=opened.autocast())


def memorised(opened: LanguageModel, split: Split) -> Memorisation:
    """What of the split, and of what the model writes, stands in the text that it was trained on."""
    from homespun.evaluation.memorisation import memorisation

    try:
        dataset = opened.dataset()
    except CheckpointError as error:
        raise CheckpointError(
            error.what, "--memorisation compares with the text that the model was trained on: leave it out."
        ) from error
    return memorisation(dataset, opened.tokenizer, written(opened, split.ids), split.ids)


def written(opened: LanguageModel, ids: np.ndarray) -> list[np.ndarray]:
    """What the model writes on from places spread over a text, as ids, without what it was given."""
    import numpy as np

    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate_ids

    texts = []
    for number in range(SAMPLES):
        start = number * max(0, len(ids) - PROMPT_TOKENS) // SAMPLES
        prompt = ids[start : start + PROMPT_TOKENS].tolist()
        going_on = generate_ids(
            opened.model,
            prompt,
            max_tokens=SAMPLE_TOKENS,
            sampling=Sampling(temperature=1.0, seed=number),
            below=opened.tokenizer.vocab_size,
        )
        texts.append(np.fromiter(going_on, np.int64))
    return texts
