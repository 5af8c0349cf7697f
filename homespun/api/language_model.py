"""A model with its tokenizer: what there is to do with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import CheckpointError

if TYPE_CHECKING:
    from homespun.dataset import Dataset, Split
    from homespun.evaluation import Evaluation
    from homespun.generation import Engine, Pieces
    from homespun.model import GPT, Bigram
    from homespun.tokenizer import Tokenizer
    from homespun.training import Plan, Result


@dataclass
class LanguageModel:
    """A model with its tokenizer, ready to write. `homespun.load(path)` makes one.

    model       the torch module: ids (B, T) -> logits (B, T, V)
    tokenizer   text <-> ids
    folder      where it was opened
    """

    model: GPT | Bigram
    tokenizer: Tokenizer
    folder: Path

    def generate(
        self, prompt: str = "", *, max_tokens: int = 200, stop: Iterable[str] = (), **sampling: Any
    ) -> str:
        """The prompt and what the model makes of it, as one string.

        max_tokens: the most tokens that are written. stop: strings that end the text before them.
        sampling: temperature (0 = always the likeliest, 0.8 unless given), top_k, top_p, min_p,
        repetition_penalty, seed.
        Raises UnknownCharacter for a prompt with characters that the model never met.
        """
        return prompt + "".join(self.stream(prompt, max_tokens=max_tokens, stop=stop, **sampling))

    def stream(
        self, prompt: str = "", *, max_tokens: int = 200, stop: Iterable[str] = (), **sampling: Any
    ) -> Pieces:
        """The continuation as it comes: an iterator of pieces in whole characters, without the prompt."""
        from homespun.generation import Sampling, generate_pieces

        settings = Sampling(**sampling)
        return generate_pieces(
            self.engine, self.tokenizer, prompt, max_tokens=max_tokens, sampling=settings, stop=stop
        )

    @cached_property
    def engine(self) -> Engine:
        """What writes: one for all texts, so that several streams are written together."""
        from homespun.generation import Engine

        return Engine(self.model)

    def evaluate(self, *text: str | Path, field: str | None = None, stride: int | None = None) -> Evaluation:
        """How well the model predicts that text, or, without one, the text that its run kept back.

        loss is in nats per token, over the whole text; bits_per_char and bits_per_byte compare across tokenizers.
        stride: windows overlap, each that many tokens further on, so that every token has others before it.
        """
        return self.evaluate_split(self.split_of(*text, field=field), stride=stride)

    def evaluate_split(self, split: Split, *, stride: int | None = None) -> Evaluation:
        """The same for a text that is ids of this model's tokenizer already."""
        from homespun.evaluation import evaluate

        return evaluate(self.model, split, stride=stride, autocast=self.autocast())

    def split_of(self, *text: str | Path, field: str | None = None) -> Split:
        """That text as ids, or, without one, the text that the model's run kept back."""
        from homespun import text as texts
        from homespun.dataset import prepare_text

        return prepare_text(texts.read(*text, field=field), self.tokenizer) if text else self.dataset().val

    def autocast(self) -> Callable[[], AbstractContextManager[Any]]:
        """Makes the context in which the model computes as its device does it best."""
        from homespun.device import autocast, choose_dtype

        return autocast(self.model.device, choose_dtype("auto", self.model.device))

    def plan(self) -> Plan:
        """The plan of the run that made it. CheckpointError where the folder has none."""
        from homespun.training import Plan

        if not (self.folder / "plan.toml").is_file():
            raise CheckpointError(
                f"{self.folder} is not a run of homespun: it does not say what text it was trained on.",
                "Name a text:  homespun evaluate MODEL TEXT",
            )
        return Plan.load(self.folder / "plan.toml")

    def dataset(self) -> Dataset:
        """The text of the run that made it, as ids, split as it was then."""
        from homespun import text as texts
        from homespun.dataset import prepare, reopen

        plan = self.plan()
        if dataset := reopen(plan.text_key, self.tokenizer):
            return dataset
        corpus = texts.read(*plan.text, field=plan.field or None)
        if plan.text_key and corpus.survey().key != plan.text_key:
            raise CheckpointError(
                f"The text of this run has changed since the model was trained: {', '.join(plan.text)}.",
                "Name a text to measure on:  homespun evaluate MODEL TEXT",
            )
        return prepare(corpus, self.tokenizer)


@dataclass
class TrainedModel(LanguageModel):
    """What `homespun.train` returns: the best weights of the run, and what came of it."""

    result: Result = field(kw_only=True)

    def __repr__(self) -> str:
        return f"<{self.folder}: loss {self.result.val_loss:.4f} after {self.result.steps:,} steps>"


def load(model: str | Path, *, device: str = "auto") -> LanguageModel:
    """Opens a run folder, a Hugging Face folder or a .gguf file of a shape that homespun knows.

    Also a hub id (`org/name`), or the name of a known small model: `smollm2`.
    Raises CheckpointError that says what is missing or what is not so, DownloadFailed, MissingExtra.
    """
    from homespun.device import choose_device
    from homespun.interop import open_model

    return LanguageModel(*open_model(model, device=str(choose_device(device))))
