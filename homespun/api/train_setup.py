"""From the arguments to what a training run needs: the text, its tokenizer, its dataset, the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from homespun.api.machine_facts import facts_of
from homespun.api.prepared_text import PreparedText, prepared_text
from homespun.errors import TextError, UsageError
from homespun.fetch.progress import downloads_reported
from homespun.fetch.web import without_password
from homespun.model.families import DEFAULT

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.planning.base_plan import BasePlan
    from homespun.planning.facts import Facts
    from homespun.planning.plan import Plan
    from homespun.planning.planner import Wishes
    from homespun.text.corpus import Corpus
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.watcher import Watcher

SEED = 1337


class Asked(TypedDict, total=False):
    """Arguments of `plan` and `train` besides the text. Those left out, or None, are chosen by homespun.

    minutes, steps: how long; one of them, or neither for five minutes.
    model, size, tokenizer: "modern", "auto" and "auto" by default. seed: 1337 by default.
    context: context_length in tokens. device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    field: of a .jsonl, .csv or .parquet file, the one with the text. encoding: of files that are not UTF-8.
    dtype: "auto", "float32" or "bfloat16".
    settings: fields of the plan by name, such as {"n_layer": 4} or ["n_layer=4"].
    """

    minutes: float | None
    steps: int | None
    model: str | None
    size: str | None
    tokenizer: str | None
    context: int | None
    seed: int | None
    field: str | None
    encoding: str | None
    device: str | None
    dtype: str | None
    settings: dict[str, Any] | list[str] | None


@dataclass(frozen=True, kw_only=True)
class Given:
    """Checked arguments. None, or an empty value, leaves the choice to homespun."""

    text: tuple[str | Path, ...]
    minutes: float | None = None
    steps: int | None = None
    model: str | None = None
    size: str | None = None
    tokenizer: str | None = None
    context_length: int | None = None
    seed: int | None = None
    field: str | None = None
    encoding: str | None = None
    device: str | None = None
    dtype: str | None = None
    settings: dict[str, Any]

    @classmethod
    def of(cls, text: Iterable[str | Path], asked: Asked) -> Given:
        """Check the arguments. Raises UnknownSetting; TypeError for an unknown name, like any function."""
        from homespun.planning.plan import parse_settings

        if unknown := asked.keys() - Asked.__annotations__.keys():
            raise TypeError(f"{', '.join(sorted(unknown))}: there is no such argument")
        named: dict[str, Any] = {("context_length" if name == "context" else name): asked[name] for name in asked}  # type: ignore[literal-required]
        return cls(text=tuple(text), **{**named, "settings": parse_settings(asked.get("settings") or {})})

    def beside_the_text(self) -> dict[str, Any]:
        """All given arguments except the text, under the names of the plan."""
        given = {part.name: getattr(self, part.name) for part in fields(self)}
        settings = given.pop("settings")
        return {name: value for name, value in given.items() if name != "text" and value is not None} | settings


@dataclass(frozen=True)
class Prepared:
    """Everything that a run needs. `title` is the display name of the text, `name` a name for a folder.

    wishes, facts: the basis of the plan, if it was decided now.
    """

    title: str
    name: str
    tokenizer: Tokenizer
    dataset: Dataset
    plan: Plan
    corpus: Corpus | None = None
    wishes: Wishes | None = None
    facts: Facts | None = None

    def plan_for_next_time(self) -> Plan | None:
        """The plan with a compiled step, for the next run; None if it is compiled, or was not decided here."""
        from homespun.planning.planner import plan_for_next_time

        if self.wishes is None or self.facts is None:
            return None
        return plan_for_next_time(self.wishes, self.facts, self.plan)

    @classmethod
    def from_corpus(cls, corpus: Corpus, tokenizer: Tokenizer, dataset: Dataset, plan: Plan) -> Prepared:
        return cls(corpus.title, corpus.name, tokenizer, dataset, plan, corpus)


def prepared_anew(given: Given, watcher: Watcher) -> Prepared:
    """Prepare a new run; its plan is decided here."""
    from homespun.planning.planner import Wishes, decide

    prepared = prepared_text(given.text) or read_and_prepared(given, watcher)
    spec, tokenizer, dataset = prepared.spec, prepared.tokenizer, prepared.dataset
    wishes = Wishes(
        text=places(given.text or (prepared.name,)),
        tokenizer=spec,
        field=given.field or "",
        encoding=given.encoding or "",
        text_key=prepared.text_key,
        model=given.model or DEFAULT,
        size=given.size or "auto",
        steps=given.steps,
        minutes=given.minutes,
        context_length=given.context_length,
        seed=SEED if given.seed is None else given.seed,
        settings=tuple(given.settings.items()),
    )
    device = given.settings.get("device", given.device or "auto")
    dtype = given.settings.get("dtype", given.dtype or "auto")
    facts = facts_of(dataset, device, dtype, wishes, watcher)
    plan = fit_to_text(decide(wishes, facts), dataset, watcher)
    return Prepared(prepared.title, prepared.name, tokenizer, dataset, plan, prepared.corpus, wishes, facts)


def read_and_prepared(given: Given, watcher: Watcher) -> PreparedText:
    """The text that was given, read, tokenized and in the user's cache."""
    corpus = read_corpus(given.text, given.field, watcher, given.encoding)
    spec, tokenizer = tokenizer_for(corpus, given.tokenizer or "auto", watcher)
    dataset = prepare_dataset(corpus, tokenizer, watcher)
    return PreparedText(spec, corpus.title, corpus.name, tokenizer, dataset, corpus.survey().key, corpus)


def prepared_by_plan(plan: Plan, given: Given, watcher: Watcher) -> Prepared:
    """Prepare the replay of a plan, or its use on another text; the latter is no replay, and a note says so."""
    if beside := given.beside_the_text():
        raise UsageError(
            f"A plan says everything, and {', '.join(beside)} was given beside it.",
            "Change the number in the plan's file, or leave --plan out.",
        )
    again = replace(
        given,
        text=given.text or plan.text,
        field=plan.field,
        encoding=plan.encoding,
        tokenizer=plan.tokenizer,
    )
    prepared = prepared_text(again.text) or read_and_prepared(again, watcher)
    dataset, key = prepared.dataset, prepared.text_key
    if plan.text_key and plan.text_key != key:
        watcher.note("this is not the text that the plan was made for, so the numbers will be others")
        plan = plan.with_(text_key=key, text=places(given.text) or plan.text)
    # A replay has no time limit: it repeats exactly the steps that fitted into the minutes.
    plan = fit_to_text(plan.with_(minutes=0.0), dataset, watcher)
    return Prepared(prepared.title, prepared.name, prepared.tokenizer, dataset, plan, prepared.corpus)


def prepared_again(plan: Plan, run: Path, given: Given, watcher: Watcher) -> Prepared:
    """Prepare a run to be resumed with its own text and plan; arguments must agree with them."""
    from homespun.dataset.preparation import reopen
    from homespun.tokenizer.open import load as load_tokenizer

    plan, given = on_that_device(plan, given, watcher)
    check_agreement(plan, given, run)
    if (run / "tokenizer.json").exists():
        tokenizer = load_tokenizer(run)
        # The ids of the training text are usually in the cache, and then the text is not needed.
        if dataset := reopen(plan.text_key, tokenizer):
            return Prepared(", ".join(plan.text), run.name, tokenizer, dataset, plan)
    if found := prepared_text(plan.text):
        check_unchanged(found.text_key, plan, run)
        return Prepared(found.title, run.name, found.tokenizer, found.dataset, plan)
    if "-" in plan.text and not given.text:
        raise UsageError(
            f"{run} was trained on standard input, which is gone.", "Pipe the same text in again, with - for it."
        )
    corpus = read_corpus(plan.text, plan.field, watcher, plan.encoding)
    check_unchanged(corpus.survey().key, plan, run)
    if not (run / "tokenizer.json").exists():
        _, tokenizer = tokenizer_for(corpus, plan.tokenizer, watcher)
    return Prepared.from_corpus(corpus, tokenizer, prepare_dataset(corpus, tokenizer, watcher), plan)


def on_that_device(plan: Plan, given: Given, watcher: Watcher) -> tuple[Plan, Given]:
    """The plan for the device and dtype that were asked for, and the other arguments; a note where it moves.

    What a run has learned does not depend on where it was computed: its state is by name, in float32.
    """
    from homespun.machine.device import choose_device, choose_dtype

    if given.device in (None, "auto", plan.device):
        return plan, given
    device = choose_device(given.device or "auto")
    dtype = str(choose_dtype(given.dtype or "auto", device)).removeprefix("torch.")
    watcher.note(f"the run goes on on {device}, in {dtype}; it was on {plan.device}, in {plan.dtype}")
    moved = plan.with_(device=str(device), dtype=dtype, kernels=plan.kernels and device.type == plan.device)
    return moved, replace(given, device=None, dtype=None)


def check_unchanged(text_key: str, plan: Plan, run: Path) -> None:
    """TextError where that is not the key of the text that the run was trained on."""
    if text_key != plan.text_key:
        raise TextError(
            f"The text of {run} has changed since it was trained on: {', '.join(plan.text)}.",
            "Put the old text back to go on with this run, or train anew in another folder with --out.",
        )


def prepared_to_extend(run: Path, given: Given, watcher: Watcher) -> Prepared:
    """Prepare a finished run to be extended: its own text and plan, with a new end."""
    from homespun.planning.plan import Plan
    from homespun.training.extension import extended_plan

    if given.minutes is not None and given.steps is not None:
        raise UsageError("--minutes and --steps both say how long to carry the run on.", "Give one of them.")
    if given.minutes is None and given.steps is None:
        raise UsageError(
            "--extend needs to know how long to carry the run on.",
            "Add --minutes 20, or --steps 1000: that much more.",
        )
    plan = Plan.load(run / "plan.toml")
    prepared = prepared_again(plan, run, replace(given, minutes=None, steps=None), watcher)
    return replace(prepared, plan=extended_plan(run, plan, minutes=given.minutes, steps=given.steps))


def check_agreement(plan: Plan, given: Given, run: Path) -> None:
    """UsageError that names the differences between the arguments and the existing run."""
    from homespun.planning.search import SIZES

    wanted = given.beside_the_text()
    for name, value in (vars(SIZES[wanted.pop("size")]) if wanted.get("size") in SIZES else {}).items():
        if name != "dropout":  # a named size does not set dropout
            wanted.setdefault(name, value)
    if wanted.get("tokenizer") == "bpe":
        del wanted["tokenizer"]  # the plan has it with its vocabulary size
    if given.text and given.text != ("-",):
        wanted["text"] = places(given.text)
    check_same(plan, wanted, run)


def check_same(plan: BasePlan, wanted: dict[str, Any], run: Path) -> None:
    """UsageError that names the fields in which a run's plan differs from `wanted`; "auto" accepts anything."""
    differences = [
        f"{name} is {getattr(plan, name)!r} there and {value!r} here"
        for name, value in wanted.items()
        if value != "auto" and getattr(plan, name) != value
    ]
    if differences:
        raise UsageError(
            f"{run} is another run: {'; '.join(differences)}.",
            "Leave that out to go on with the run as it is, or choose another folder with --out.",
        )


def choose_corpus(
    text: Sequence[str | Path], field: str | None, watcher: Watcher, encoding: str | None = None
) -> Corpus:
    """The named texts, or the first named corpus that is available."""
    from homespun.text.named import default_corpus
    from homespun.text.sources import read

    with downloads_reported(watcher.downloaded):
        if text:
            return read(*text, field=field or None, encoding=encoding or None)
        return default_corpus()[0]


def read_corpus(
    text: Sequence[str | Path], field: str | None, watcher: Watcher, encoding: str | None = None
) -> Corpus:
    """The same, surveyed; what was noticed in reading it is reported."""
    return report_reading(choose_corpus(text, field, watcher, encoding), watcher)


def report_reading(corpus: Corpus, watcher: Watcher) -> Corpus:
    """Surveys the corpus and reports what was noticed in reading it: every command that reads a text does so."""
    corpus.survey()
    for line in corpus.notes:
        watcher.note(line)
    return corpus


def in_known_characters(corpus: Corpus, tokenizer: Tokenizer, watcher: Watcher) -> Corpus:
    """The corpus for a model that is there: for one of characters without what it does not know, as reported."""
    from homespun.dataset.known_characters import readable

    corpus, line = readable(corpus, tokenizer)
    if line:
        watcher.note(line)
    return corpus


def tokenizer_for(corpus: Corpus, spec: str, watcher: Watcher) -> tuple[str, Tokenizer]:
    """Survey the text and build its tokenizer; "auto" becomes the kind that suits the text."""
    from homespun.dataset.splits import check_learnable
    from homespun.tokenizer.choose import choose
    from homespun.tokenizer.make import build

    survey = corpus.survey()
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    if spec == "auto":
        spec, why = choose(characters=survey.characters, alphabet=survey.alphabet, documents=survey.documents)
        watcher.note(f"tokenizer {spec}: {why}")
    pieces = partial(pieces_of, corpus)
    with downloads_reported(watcher.downloaded):  # GPT-2's tokenizer is downloaded
        return spec, build(spec, alphabet=survey.alphabet, documents=survey.documents, pieces=pieces)


def pieces_of(corpus: Corpus) -> Iterator[str]:
    for document in corpus.documents():
        yield from document.pieces()


def prepare_dataset(corpus: Corpus, tokenizer: Tokenizer, watcher: Watcher) -> Dataset:
    from homespun.dataset.preparation import prepare

    dataset = prepare(corpus, tokenizer, on_progress=watcher.prepared)
    watcher.note(
        f"{dataset.characters:,} characters are {dataset.tokens:,} tokens of {dataset.vocab_size:,} kinds; "
        f"held out for validation: {dataset.how}"
    )
    return dataset


def fit_to_text(plan: Plan, dataset: Dataset, watcher: Watcher) -> Plan:
    """The plan with a shorter context_length, if the text is shorter than the context."""
    from homespun.dataset.splits import fit_context

    context_length = fit_context(dataset.train.tokens, dataset.val.tokens, plan.context_length)
    if context_length < plan.context_length:
        watcher.note(
            f"the text is too short for a context of {plan.context_length} tokens: {context_length} it is"
        )
    return plan.with_(context_length=context_length)


def places(text: Iterable[str | Path]) -> tuple[str, ...]:
    """The texts as the plan stores them: local paths become absolute.

    Passwords in addresses are removed. Bytes of a file name that are not UTF-8 are replaced: a plan is UTF-8.
    """
    found = (str(Path(one).resolve()) if Path(one).exists() else without_password(str(one)) for one in text)
    return tuple(place.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for place in found)
