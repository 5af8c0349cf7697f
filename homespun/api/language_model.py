"""A model with its tokenizer: what there is to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import CheckpointError

if TYPE_CHECKING:
    from homespun.dataset import Dataset
    from homespun.evaluation import Evaluation
    from homespun.generation import Pieces
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
        sampling: temperature (0 = always the likeliest, 0.8 unless given), top_k, top_p, min_p, seed.
        Raises UnknownCharacter for a prompt with characters that the model never met.
        """
        return prompt + "".join(self.stream(prompt, max_tokens=max_tokens, stop=stop, **sampling))

    def stream(
        self, prompt: str = "", *, max_tokens: int = 200, stop: Iterable[str] = (), **sampling: Any
    ) -> Pieces:
        """The continuation as it comes: an iterator of pieces in whole characters, without the prompt."""
        from homespun.generation import Sampling, generate_pieces

        return generate_pieces(
            self.model, self.tokenizer, prompt, max_tokens=max_tokens, sampling=Sampling(**sampling), stop=stop
        )

    def evaluate(self, *text: str | Path, field: str | None = None) -> Evaluation:
        """How well the model predicts that text, or, without one, the text that its run kept back.

        loss is in nats per token, over the whole text; bits_per_char and bits_per_byte compare across tokenizers.
        """
        from homespun.dataset import prepare_text
        from homespun.device import autocast, choose_dtype
        from homespun.evaluation import evaluate

        if text:
            from homespun import text as texts

            split = prepare_text(texts.read(*text, field=field), self.tokenizer)
        else:
            split = self.dataset().val
        device = self.model.device
        return evaluate(self.model, split, autocast=autocast(device, choose_dtype("auto", device)))

    def plan(self) -> Plan:
        """The plan of the run that made it. CheckpointError where the folder has none."""
        from homespun.training import Plan

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


def load(folder: str | Path, *, device: str = "auto") -> LanguageModel:
    """Opens a run folder or a Hugging Face folder of a shape that homespun knows.

    Raises CheckpointError that says what is missing or what is not so.
    """
    from homespun.checkpoint import load_model
    from homespun.device import choose_device

    model, tokenizer = load_model(Path(folder), device=str(choose_device(device)))
    return LanguageModel(model, tokenizer, Path(folder))
