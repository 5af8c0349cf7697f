"""A model with its tokenizer: generate, evaluate, load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.dataset.shards import Split
    from homespun.evaluation.loss import Evaluation
    from homespun.generation.constraint import Constraint
    from homespun.generation.engine import Engine
    from homespun.generation.text import Pieces
    from homespun.model.causal_lm import CausalLM
    from homespun.planning.base_plan import BasePlan
    from homespun.text.corpus import Corpus
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.watcher import Result, Watcher


@dataclass
class LanguageModel:
    """A model with its tokenizer, ready to generate. `homespun.load(path)` returns one.

    model       the torch module: ids (B, T) -> logits (B, T, V)
    tokenizer   text <-> ids
    folder      the folder it was opened from
    weights     precision of the weights for generation: "float32", exactly the model; "bfloat16" or "int8",
                rounded and faster; or "auto"
    watcher     receives notes about how a text was read; None prints them on standard error
    """

    model: CausalLM
    tokenizer: Tokenizer
    folder: Path
    weights: str = "float32"
    watcher: Watcher | None = None

    def generate(self, prompt: str = "", **settings: Any) -> str:
        """The prompt and its continuation as one string. settings: those of `stream`."""
        return prompt + "".join(self.stream(prompt, **settings))

    def stream(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 200,
        stop: Iterable[str] = (),
        pattern: str | None = None,
        schema: dict[str, Any] | str | None = None,
        logit_bias: Mapping[int, float] | None = None,
        special: bool = False,
        **sampling: Any,
    ) -> Pieces:
        """The continuation while it is generated: an iterator of strings of whole characters, without the prompt.

        max_tokens: the most tokens to generate. stop: strings that end the text; they are not included.
        pattern, schema: the output must match a regular expression, or be JSON that conforms to a JSON schema.
        logit_bias: values added to the logits of some ids; minus infinity excludes an id.
        special: names of special tokens in the prompt, such as <|im_start|>, are these tokens and no text.
        sampling: temperature (0 = always the most likely token; 0.8 by default), top_k, top_p, min_p,
        repetition_penalty, seed.
        Raises UnknownCharacter for a prompt with characters outside the model's vocabulary, and UsageError.
        """
        from homespun.generation.settings import Sampling
        from homespun.generation.text import generate_pieces

        return generate_pieces(
            self.engine,
            self.tokenizer,
            prompt,
            max_tokens=max_tokens,
            sampling=Sampling(**sampling),
            stop=stop,
            constraint=self.constraint(pattern, schema),
            logit_bias=logit_bias or {},
            special=special,
        )

    def constraint(self, pattern: str | None, schema: dict[str, Any] | str | None) -> Constraint | None:
        """The constraint on the output, for this tokenizer. Raises UsageError if both are given, MissingExtra."""
        from homespun.generation import constraint

        if pattern is not None and schema is not None:
            raise UsageError(
                "A text cannot be held to a pattern and to a schema at once.",
                'Take one of them. A schema holds single texts to patterns, too: {"pattern": …}.',
            )
        if pattern is not None:
            return constraint.pattern(pattern, self.tokenizer)
        return None if schema is None else constraint.json_schema(schema, self.tokenizer)

    @cached_property
    def engine(self) -> Engine:
        """What writes: one for all texts, so that several streams are written together."""
        from homespun.generation.decoding import worthwhile_weights
        from homespun.generation.engine import Engine

        weights = worthwhile_weights(self.model) if self.weights == "auto" else self.weights
        # A user who chooses other weights wants speed, which only the compiled step has.
        return Engine(self.model, weights=weights, wait=weights != "float32")

    def evaluate(
        self,
        *text: str | Path,
        field: str | None = None,
        encoding: str | None = None,
        stride: int | None = None,
    ) -> Evaluation:
        """Measure how well the model predicts that text; by default the validation split of its run.

        loss is in nats per token, over the whole text; bits_per_char and bits_per_byte compare across tokenizers.
        stride: windows overlap, each starting that many tokens after the last, so that every token has context.
        """
        return self.evaluate_split(self.split_of(*text, field=field, encoding=encoding), stride=stride)

    def evaluate_split(self, split: Split, *, stride: int | None = None, weights: str | None = None) -> Evaluation:
        """Evaluate the model on a split, which already consists of ids of this model's tokenizer.

        weights: evaluate the engine with such weights; None: evaluate the model as training does.
        """
        from homespun.evaluation.loss import evaluate

        if weights is None:
            return evaluate(self.model, split, stride=stride, autocast=self.autocast())
        from homespun.generation.decoding import decoded

        return evaluate(decoded(self.model, weights), split, stride=stride)

    def split_of(self, *text: str | Path, field: str | None = None, encoding: str | None = None) -> Split:
        """That text as ids; without a text, the validation split of the model's run."""
        from homespun.dataset.preparation import prepare_text

        if not text:
            return self.dataset().val
        return prepare_text(self.known(self.read(text, field, encoding)), self.tokenizer)

    def known(self, corpus: Corpus) -> Corpus:
        """The text in characters that the model knows; what was done for it is reported to `watcher`."""
        from homespun.api.train_setup import in_known_characters
        from homespun.training.log_lines import LogLines

        return in_known_characters(corpus, self.tokenizer, self.watcher or LogLines())

    def read(self, text: Sequence[str | Path], field: str | None, encoding: str | None = None) -> Corpus:
        """The text; what was noticed in reading it is reported to `watcher`."""
        from homespun.api.train_setup import report_reading
        from homespun.text.sources import read
        from homespun.training.log_lines import LogLines

        corpus = read(*text, field=field or None, encoding=encoding or None)
        return report_reading(corpus, LogLines() if self.watcher is None else self.watcher)

    def autocast(self) -> Callable[[], AbstractContextManager[Any]]:
        """Return a context in which the model computes in the best dtype of its device."""
        from homespun.machine.device import autocast, choose_dtype

        return autocast(self.model.device, choose_dtype("auto", self.model.device))

    def plan(self) -> BasePlan:
        """The plan of the run that trained the model. CheckpointError if the folder has none."""
        from homespun.api.past_run import plan_of

        if not (self.folder / "plan.toml").is_file():
            raise CheckpointError(
                f"{self.folder} is not a run of homespun: it does not say what text it was trained on.",
                "Name a text:  homespun evaluate MODEL TEXT",
            )
        return plan_of(self.folder / "plan.toml")

    def dataset(self) -> Dataset:
        """The text of the run that trained the model, as ids, with the same split."""
        from homespun.dataset.preparation import prepare, reopen

        plan = self.plan()
        if getattr(plan, "conversations", False):
            raise CheckpointError(
                f"{self.folder} was tuned on conversations, of which only the answers count.",
                "Name a text to measure on:  homespun evaluate MODEL TEXT",
            )
        if dataset := reopen(plan.text_key, self.tokenizer):
            return dataset
        corpus = self.read(plan.text, plan.field, plan.encoding)
        if plan.text_key and corpus.survey().key != plan.text_key:
            raise CheckpointError(
                f"The text of this run has changed since the model was trained: {', '.join(plan.text)}.",
                "Name a text to measure on:  homespun evaluate MODEL TEXT",
            )
        return prepare(self.known(corpus), self.tokenizer)


@dataclass
class TrainedModel(LanguageModel):
    """What `homespun.train` returns: the best weights of the run, and its result."""

    result: Result = field(kw_only=True)

    def __repr__(self) -> str:
        return f"<{self.folder}: loss {self.result.val_loss:.4f} after {self.result.steps:,} steps>"


def load(
    model: str | Path, *, device: str = "auto", dtype: str | None = None, weights: str = "float32"
) -> LanguageModel:
    """Open a run folder, a Hugging Face folder or a .gguf file of an architecture that homespun supports.

    Also a hub id (`org/name`), or the name of a known small model: `smollm2`.
    dtype: "float32" or "bfloat16", the dtype that the model computes in; None: that of its stored weights.
    weights: precision for generation, see LanguageModel; the model itself is not changed.
    Raises CheckpointError, whose message says what is missing or wrong, DownloadFailed, MissingExtra.
    """
    import torch

    from homespun.interop.open import open_model
    from homespun.machine.device import DTYPES, choose_device

    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"There is no dtype {dtype!r}.", f"Take one of: {', '.join(DTYPES)}.")
    chosen = None if dtype is None else getattr(torch, dtype)
    opened = open_model(model, device=str(choose_device(device)), dtype=chosen)
    return LanguageModel(*opened, weights=weights)
