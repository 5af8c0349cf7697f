"""From the arguments to what a fine-tuning needs: the model, the text or conversations, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.api.train_setup import (
    SEED,
    choose_corpus,
    in_known_characters,
    places,
    prepare_dataset,
    report_reading,
)
from homespun.errors import CheckpointError, TextError, UsageError

if TYPE_CHECKING:
    import torch

    from homespun.checkpoint.adapter import Base
    from homespun.conversations.recognise import ConversationReader, Found
    from homespun.dataset.shards import Split
    from homespun.finetuning.recipe import TuningResult
    from homespun.model.causal_lm import CausalLM
    from homespun.model.config import ModelConfig
    from homespun.planning.tuning_facts import TuningFacts
    from homespun.planning.tuning_plan import TuningPlan
    from homespun.text.corpus import Corpus
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.run import Run
    from homespun.training.watcher import Watcher
    from homespun.training.world import World

PROMPT_TOKENS = 32
TEMPERATURE, OF_ANSWERS = 0.8, 0.4  # of a sample: what was trained shows better at a lower one
SAMPLE_TOKENS, IN_FOUR_BITS = 40, 16  # there every token unpacks the whole model


@dataclass
class Tuning:
    """A fine-tuning with everything that it needs."""

    plan: TuningPlan
    base: Base
    place: Path
    config: ModelConfig
    tokenizer: Tokenizer
    dataset: Any  # Dataset or Conversations
    title: str
    name: str
    facts: TuningFacts | None = None

    @property
    def name_of_base(self) -> str:
        return Path(self.base.name).stem if Path(self.base.name).is_absolute() else self.base.name.split("/")[-1]

    @classmethod
    def anew(
        cls, model: str | Path, text: tuple[str | Path, ...], given: dict[str, Any], watcher: Watcher
    ) -> Tuning:
        """A new fine-tuning; its plan is decided here."""
        from homespun.conversations.splits import lengths
        from homespun.planning.tuning_planner import TuningWishes, decide, first_plan, way_for
        from homespun.tokenizer.chat_marks import needs_tokens

        opened = OpenedBase.of(model)
        reader = reader_of(given.get("answers", ""), given.get("pause"), given.get("skip_bad", False))
        corpus, found = read(text, given.get("field"), watcher, reader, given.get("encoding"))
        tokenizer = opened.tokenizer_for(found)
        new_tokens = len(needs_tokens(opened.tokenizer)) if found else 0
        method, why = way_for(opened.config, given.get("method", ""), new_tokens)
        if why:
            watcher.note(why)
        settings = {name: value for name, value in given.items() if name not in NOT_SETTINGS}
        wishes = TuningWishes(
            text=places(text),
            base=opened.base.name,
            base_revision=opened.base.revision,
            base_key=opened.base.fingerprint,
            field=given.get("field", ""),
            encoding=given.get("encoding", ""),
            text_key=found.key if found else corpus.survey().key,
            conversations=found is not None,
            answers=reader.answers,
            pause=reader.pause,
            skip_bad=reader.skip_bad,
            method=method,
            steps=given.get("steps"),
            minutes=given.get("minutes"),
            seed=given.get("seed", SEED),
            settings=tuple(settings.items()),
        )
        chosen = usual_facts(opened.config, given, watcher)
        if found is None:
            dataset = prepare_text_dataset(corpus, tokenizer, watcher)
            facts = replace(chosen, train_tokens=dataset.train.tokens, val_tokens=dataset.val.tokens)
            wishes = replace(wishes, settings=fitting(wishes.settings, facts, dataset, watcher))
        else:
            longest = int(lengths(found, tokenizer).max())
            facts = replace(chosen, lengths=longest, new_tokens=new_tokens)
            dataset = prepare_rows(found, tokenizer, first_plan(wishes, facts), watcher)
            rows = len(dataset.train) * dataset.train.length
            facts = replace(facts, train_tokens=rows, val_tokens=dataset.val.tokens)
        facts = measured(facts, first_plan(wishes, facts))
        return cls(
            decide(wishes, facts),
            opened.base,
            opened.place,
            opened.config,
            tokenizer,
            dataset,
            found.title if found else corpus.title,
            found.name if found else corpus.name,
            facts,
        )

    @classmethod
    def by_plan(cls, plan: TuningPlan, watcher: Watcher, again: Path | None = None) -> Tuning:
        """Replay a plan. again: the run that continues with it, whose text and base must be unchanged."""
        opened = OpenedBase.of(f"{plan.base}@{plan.base_revision}" if plan.base_revision else plan.base)
        if again is not None and opened.base.fingerprint != plan.base_key:
            raise CheckpointError(
                f"The weights of {plan.base} are not those any more that {again} was begun with.",
                "Put the old ones back, or begin anew in another folder with --out.",
            )
        if again is not None and "-" in plan.text:
            raise UsageError(
                f"{again} was tuned on standard input, which is gone.",
                "Begin anew, from a file, with another --out.",
            )
        reader = reader_of(plan.answers, plan.pause, plan.skip_bad)
        corpus, found = read(plan.text, plan.field, watcher, reader, plan.encoding)
        key = found.key if found else corpus.survey().key
        if (found is not None) != plan.conversations or (again is not None and key != plan.text_key):
            raise TextError(
                f"The text has changed since the plan was made: {', '.join(plan.text)}.",
                "Put the old text back to go on with this run, or begin anew in another folder with --out.",
            )
        if (key, opened.base.fingerprint) != (plan.text_key, plan.base_key):
            watcher.note("the text or the model is not what the plan was made for, so the numbers will be others")
        tokenizer = opened.tokenizer_for(found)
        if found is None:
            dataset: Any = prepare_text_dataset(corpus, tokenizer, watcher)
        else:
            dataset = prepare_rows(found, tokenizer, plan, watcher)
        plan = plan.with_(text_key=key, base_key=opened.base.fingerprint)
        if again is None:
            plan = plan.with_(minutes=0.0)  # a replay repeats exactly the steps that fitted into the minutes
        title, name = (found.title, found.name) if found else (corpus.title, corpus.name)
        return cls(plan, opened.base, opened.place, opened.config, tokenizer, dataset, title, name)

    def run(
        self, out: Path, *, watcher: Watcher, started: float, resume: bool, world: World | None = None
    ) -> Run[TuningPlan, TuningResult]:
        from homespun.finetuning.methods import FullWeights, LowRank
        from homespun.finetuning.recipe import FineTuning
        from homespun.planning.tuning_planner import forecast
        from homespun.training.run import Run

        opens = partial(open_base, self.place, self.tokenizer.vocab_size)
        recipe = FineTuning(
            self.dataset,
            self.tokenizer,
            self.title,
            open_base=opens,
            method=LowRank(self.base) if self.plan.rank else FullWeights(opens),
            separator=self.separator(),
            general=general_split(self.tokenizer),
            sample=self.sample,
        )
        return Run(
            self.plan,
            recipe,
            out,
            watcher=watcher,
            sample=self.sample,
            started=started,
            forecast=forecast(self.plan, self.facts) if self.facts else None,
            resume=resume,
            world=world,
        )

    def separator(self) -> int | None:
        """The separator between documents; None for a single document, and for conversations."""
        several = not self.plan.conversations and self.dataset.train.documents + self.dataset.val.documents > 2
        return self.tokenizer.end_of_text if several else None

    def sample(self, model: CausalLM) -> str:
        """How the model continues the beginning of the text that was held out; its random state is its own."""
        from homespun.generation.settings import Sampling
        from homespun.generation.text import generate_ids

        prompt, tokenizer = self.prompt(), self.tokenizer
        generated = generate_ids(
            model,
            prompt,
            max_tokens=IN_FOUR_BITS if self.plan.method == "qlora" else SAMPLE_TOKENS,
            sampling=Sampling(
                temperature=OF_ANSWERS if self.plan.conversations else TEMPERATURE, seed=self.plan.seed
            ),
            stop_ids=() if tokenizer.end_of_text is None else (tokenizer.end_of_text,),
            below=tokenizer.vocab_size,
        )
        return (tokenizer.decode(prompt) + tokenizer.decode(list(generated))).strip("\n")

    def prompt(self) -> list[int]:
        if not self.plan.conversations:
            ids: list[int] = self.dataset.val.ids[:PROMPT_TOKENS].tolist()
            return ids
        row = self.dataset.val.rows([0])
        first_answer = int((row.targets[0] >= 0).nonzero()[0])
        ids = row.ids[0, : first_answer + 1].tolist()
        return ids


@dataclass(frozen=True)
class OpenedBase:
    """The base model, as far as it is known without loading its weights."""

    base: Base
    place: Path
    config: ModelConfig
    tokenizer: Tokenizer

    @classmethod
    def of(cls, model: str | Path) -> OpenedBase:
        from homespun.interop.adapter import base_named
        from homespun.interop.find import find_model
        from homespun.interop.open import look_into

        place = find_model(model)
        config, tokenizer = look_into(place)
        return cls(base_named(model, place), place, config, tokenizer)

    def tokenizer_for(self, found: Found | None) -> Tokenizer:
        """The model's tokenizer; for conversations, with the special tokens of the chat template."""
        from homespun.tokenizer.chat_marks import with_chat_template

        return with_chat_template(self.tokenizer) if found else self.tokenizer


OF_READING = ("field", "encoding", "answers", "pause", "skip_bad")
NOT_SETTINGS = ("method", "minutes", "steps", "seed", *OF_READING, "device", "dtype")


def reader_of(answers: str, pause: float | None, skip_bad: bool) -> ConversationReader:
    """How conversations are to be read. Raises UsageError."""
    from homespun.conversations.recognise import ConversationReader
    from homespun.conversations.talk import PAUSE

    if pause is not None and not 0 < pause <= 24 * 365:
        raise UsageError(f"--pause {pause:g} is no pause.", "Give hours, such as --pause 6.")
    return ConversationReader(answers.strip(), PAUSE if pause is None else pause, skip_bad)


def read(
    text: tuple[str | Path, ...],
    field: str | None,
    watcher: Watcher,
    reader: ConversationReader,
    encoding: str | None = None,
) -> tuple[Corpus, Found | None]:
    """The text, and the conversations in it; None if it contains none."""
    from homespun.conversations.recognise import recognise

    corpus = choose_corpus(text, field, watcher, encoding)
    found = recognise(corpus, field=field or None, reader=reader)
    if found is None:
        return report_reading(corpus, watcher), None
    for line in found.notes:
        watcher.note(line)
    return corpus, found


def prepare_text_dataset(corpus: Corpus, tokenizer: Tokenizer, watcher: Watcher) -> Any:
    from homespun.dataset.splits import check_learnable

    survey = corpus.survey()
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    return prepare_dataset(in_known_characters(corpus, tokenizer, watcher), tokenizer, watcher)


def prepare_rows(found: Found, tokenizer: Tokenizer, plan: TuningPlan, watcher: Watcher) -> Any:
    from homespun.conversations.splits import prepare_conversations

    dataset = prepare_conversations(found, tokenizer, length=plan.context_length, seed=plan.seed)
    for line in dataset.notes:
        watcher.note(line)
    watcher.note(
        f"{dataset.train.documents:,} are trained on: {dataset.train.tokens:,} tokens of answers; "
        f"held out for validation: {dataset.how}"
    )
    return dataset


def fitting(
    settings: tuple[tuple[str, Any], ...], facts: TuningFacts, dataset: Any, watcher: Watcher
) -> tuple[tuple[str, Any], ...]:
    """The settings, with a smaller context_length if the text is too short for the requested or default one."""
    from homespun.dataset.splits import fit_context
    from homespun.planning.tuning_planner import length_for

    wanted = dict(settings).get("context_length", length_for(facts))
    if wanted > facts.config.context_length:
        raise UsageError(
            f"context_length = {wanted} is more than the model's context: {facts.config.context_length}.",
            f"Take at most that:  --set context_length={facts.config.context_length}",
        )
    length = fit_context(dataset.train.tokens, dataset.val.tokens, wanted)
    if length < wanted:
        watcher.note(f"the text is too short for rows of {wanted} tokens: {length} it is")
        return (
            *((name, value) for name, value in settings if name != "context_length"),
            ("context_length", length),
        )
    return settings


def usual_facts(config: ModelConfig, given: dict[str, Any], watcher: Watcher) -> TuningFacts:
    """The facts that are known before the text is read."""
    import psutil

    from homespun.kernels.select import worth_compiling
    from homespun.kernels.trusted_dtype import trusted_dtype
    from homespun.machine.device import choose_device, choose_dtype, memory_free, memory_of
    from homespun.planning.planner import longest_wait
    from homespun.planning.tuning_facts import TuningFacts

    device = choose_device(given.get("device", "auto"))
    wanted = given.get("dtype", "auto")
    dtype = str(choose_dtype(wanted, device)).removeprefix("torch.")
    if wanted == "auto":
        dtype = trusted_dtype(str(device), dtype, watcher.note)
    return TuningFacts(
        train_tokens=0,
        val_tokens=0,
        config=config,
        device=str(device),
        dtype=dtype,
        quick=worth_compiling(config, str(device), dtype, longest_wait(given.get("minutes"))),
        memory=memory_of(device),
        memory_free=memory_free(device),
        memory_used=psutil.Process().memory_info().rss,
    )


def measured(facts: TuningFacts, plan: TuningPlan) -> TuningFacts:
    from homespun.finetuning.speed import seconds_per_token
    from homespun.planning.planner import longest_wait

    return replace(facts, seconds=seconds_per_token(plan, facts.config, longest_wait(plan.minutes)))


def open_base(place: Path, vocab_size: int, dtype: torch.dtype) -> CausalLM:
    """The base model, with its embedding extended to `vocab_size` tokens."""
    from homespun.finetuning.growing import grow
    from homespun.interop.open import open_model
    from homespun.model.gpt import GPT

    model, _, _ = open_model(place, dtype=dtype)
    if isinstance(model, GPT):
        grow(model, vocab_size)
    return model


def general_split(tokenizer: Tokenizer) -> Split:
    """The general text as ids, without passages that the tokenizer cannot encode."""
    from homespun.dataset.shards import Split
    from homespun.finetuning.general_text import general_text

    text = general_text(tokenizer) or "\n \n"  # a tokenizer of few characters may not cover any passage
    ids = tokenizer.encode_array(text)
    return Split("general", ids, len(text), len(text.encode()), 1)
