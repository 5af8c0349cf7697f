"""The verbs as functions: what the commands do, for a program or a notebook.

>>> import homespun
>>> run = homespun.train("book.txt", steps=500)       # doctest: +SKIP
>>> print(run.generate("Once"))                       # doctest: +SKIP
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from homespun.dataset import Dataset
    from homespun.evaluation import Evaluation
    from homespun.generation import Pieces
    from homespun.model import GPT, Bigram
    from homespun.text import Corpus
    from homespun.tokenizer import Tokenizer
    from homespun.training import Facts, Plan, Result, Watcher, Wishes

SAMPLE_CHARACTERS = 240


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
        from homespun.dataset import prepare

        plan = self.plan()
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


def train(
    *text: str | Path,
    minutes: float | None = None,
    steps: int | None = None,
    model: str = "modern",
    size: str = "auto",
    tokenizer: str = "auto",
    context: int | None = None,
    out: str | Path | None = None,
    seed: int = 1337,
    field: str | None = None,
    plan: str | Path | None = None,
    settings: dict[str, Any] | list[str] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    tensorboard: bool = False,
    watcher: Watcher | None = None,
    started: float | None = None,
) -> TrainedModel:
    """Trains a model on a text and returns it; the run folder is its `folder`.

    text: paths, addresses, or names from `homespun data list`; none = the first named corpus that can be had.
    minutes, steps: how long; one of them, or neither for five minutes.
    plan: a plan.toml to be replayed; text and out may be given beside it.
    settings: numbers of the plan by name, such as {"n_layer": 4} or ["n_layer=4"].
    watcher: hears of the progress; None prints a line at every evaluation.
    started: time.monotonic() that the minutes count from; None = now.
    """
    from homespun.checkpoint import load_model
    from homespun.training import Plan, Run, Wishes, decide, parse_settings
    from homespun.training.lines import Lines

    started = time.monotonic() if started is None else started
    watcher = Lines() if watcher is None else watcher
    replayed = Plan.load(Path(plan)) if plan is not None else None
    if replayed and any(
        (minutes, steps, context, settings, model != "modern", size != "auto", tokenizer != "auto")
    ):
        raise UsageError(
            "A plan says everything, and something else was given beside it.",
            "Change the number in the plan's file, or leave --plan out.",
        )
    if replayed:
        tokenizer, text, field = replayed.tokenizer, text or replayed.text, field or replayed.field
    checked = parse_settings(settings or {})  # before anything that takes time
    corpus = choose_corpus(text, field, watcher)
    spec, made = tokenizer_for(corpus, tokenizer, watcher)
    dataset = prepare_dataset(corpus, made, watcher)
    if replayed:
        decided = check_same_text(replayed, corpus, watcher)
    else:
        wishes = Wishes(
            text=places(text or (corpus.name,)),
            tokenizer=spec,
            field=field or "",
            text_key=corpus.survey().key,
            model=model,
            size=size,
            steps=steps,
            minutes=minutes,
            context_length=context,
            seed=seed,
            settings=tuple(checked.items()),
        )
        decided = decide(
            wishes, facts_of(dataset, checked.get("device", device), checked.get("dtype", dtype), wishes)
        )
    decided = fit_to_text(decided, dataset, watcher)
    result = Run(
        plan=decided,
        dataset=dataset,
        tokenizer=made,
        out=Path(out) if out else free_folder(corpus.name),
        title=corpus.title,
        watcher=watcher,
        sample=partial(sample, made, dataset.characters_per_token, decided.seed),
        started=started,
        tensorboard=tensorboard,
    ).train()
    best, opened = load_model(result.out, device=decided.device)
    return TrainedModel(best, opened, result.out, result=result)


def choose_corpus(text: Sequence[str | Path], field: str | None, watcher: Watcher) -> Corpus:
    """The texts that were named, or the first named corpus that can be had."""
    from homespun import text as texts

    if text:
        return texts.read(*text, field=field)
    corpus, why = texts.default_corpus()
    watcher.note(why)
    return corpus


def tokenizer_for(corpus: Corpus, spec: str, watcher: Watcher) -> tuple[str, Tokenizer]:
    """Surveys the text and makes its tokenizer; "auto" becomes the kind that suits it."""
    from homespun.dataset import check_learnable
    from homespun.tokenizer import build, choose

    survey = corpus.survey()
    for line in corpus.notes:
        watcher.note(line)
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    if spec == "auto":
        spec, why = choose(characters=survey.characters, alphabet=survey.alphabet, documents=survey.documents)
        watcher.note(f"tokenizer {spec}: {why}")
    pieces = partial(pieces_of, corpus)
    return spec, build(spec, alphabet=survey.alphabet, documents=survey.documents, pieces=pieces)


def pieces_of(corpus: Corpus) -> Iterator[str]:
    for document in corpus.documents():
        yield from document.pieces()


def prepare_dataset(corpus: Corpus, tokenizer: Tokenizer, watcher: Watcher) -> Dataset:
    from homespun.dataset import prepare

    dataset = prepare(corpus, tokenizer, on_progress=watcher.prepared)
    watcher.note(
        f"{dataset.characters:,} characters are {dataset.tokens:,} tokens of {dataset.vocab_size:,} kinds; "
        f"held out for validation: {dataset.how}"
    )
    return dataset


def facts_of(dataset: Dataset, device: str, dtype: str, wishes: Wishes) -> Facts:
    """What the plan rests on. The machine is timed only where the plan depends on it."""
    from homespun.device import choose_device, choose_dtype, compiler
    from homespun.training import Facts
    from homespun.training.calibrate import training_flops_per_second

    chosen = choose_device(device)
    computed_in = str(choose_dtype(dtype, chosen)).removeprefix("torch.")
    return Facts(
        train_tokens=dataset.train.tokens,
        val_tokens=dataset.val.tokens,
        vocab_size=dataset.vocab_size,
        device=str(chosen),
        dtype=computed_in,
        can_compile=chosen.type == "cuda" or (chosen.type == "cpu" and compiler() is not None),
        flops_per_second=0.0 if wishes.model == "bigram" else training_flops_per_second(str(chosen), computed_in),
    )


def check_same_text(plan: Plan, corpus: Corpus, watcher: Watcher) -> Plan:
    """A plan can be carried out on another text; but then it is no replay, and the user is told."""
    key = corpus.survey().key
    if plan.text_key and plan.text_key != key:
        watcher.note("this is not the text that the plan was made for, so the numbers will be others")
    return plan.with_(text_key=key)


def fit_to_text(plan: Plan, dataset: Dataset, watcher: Watcher) -> Plan:
    """A text that is shorter than the context is trained on with a shorter one."""
    from homespun.dataset import fit_context

    context_length = fit_context(dataset.train.tokens, dataset.val.tokens, plan.context_length)
    if context_length < plan.context_length:
        watcher.note(
            f"the text is too short for a context of {plan.context_length} tokens: {context_length} it is"
        )
    return plan.with_(context_length=context_length)


def places(text: Iterable[str | Path]) -> tuple[str, ...]:
    """The texts as the plan keeps them: what is a path here is found from anywhere."""
    return tuple(str(Path(one).resolve()) if Path(one).exists() else str(one) for one in text)


def free_folder(name: str) -> Path:
    """runs/name, or runs/name-2, … where that is taken."""
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "run"
    names = itertools.chain([clean], (f"{clean}-{number}" for number in itertools.count(2)))
    return next(folder for folder in (Path("runs") / name for name in names) if not folder.exists())


def sample(tokenizer: Tokenizer, characters_per_token: float, seed: int, model: GPT | Bigram) -> str:
    """A few lines from the model as it is, always from the same dice, so that they compare over a run."""
    from homespun.generation import Sampling, generate

    tokens = round(SAMPLE_CHARACTERS / characters_per_token)
    return generate(model, tokenizer, max_tokens=tokens, sampling=Sampling(seed=seed)).strip("\n")
