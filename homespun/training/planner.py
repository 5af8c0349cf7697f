"""From facts and wishes to a plan: a pure function, so that it can be tested without training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from homespun.errors import UsageError
from homespun.model import BigramConfig, GPTConfig, flops_per_token, number_of_parameters
from homespun.training.memory import parts_that_fit
from homespun.training.plan import Plan

DEFAULT_MINUTES = 5.0
WARMUP_STEPS = 50

# A model wants to read about this many tokens for each of its parameters before a larger
# one would have been the better use of the same time. Measured on tiny Shakespeare for
# runs of minutes; far fewer than the 20 of long runs (Hoffmann et al. 2022), because the
# text is small and is read several times over.
TOKENS_PER_PARAMETER = 2.5

# Reading the same text more often than this teaches a model the text by heart.
MOST_EPOCHS = 16

MOST_EVALUATIONS = 10
# A look at the validation text reads at most this many tokens of it, spread evenly, or it would
# take longer than the training. Only texts of 20 MB and more notice; `evaluate` reads all of it.
MOST_TOKENS_AT_A_LOOK = 2_000_000

# torch.compile costs some 10 to 40 seconds the first time: it pays where training takes minutes.
COMPILE_FROM_SECONDS = 90.0


@dataclass(frozen=True)
class Size:
    """A shape with the batch that suits it; the names are the plan's."""

    n_layer: int
    n_head: int
    n_embd: int
    context_length: int
    batch_size: int


SIZES = {
    "nano": Size(4, 4, 128, 64, 12),  # the shape of nanoGPT's recipe for a CPU
    "micro": Size(5, 6, 192, 128, 32),
    "mini": Size(6, 8, 256, 256, 16),
    "small": Size(6, 6, 384, 256, 64),  # the lecture's large run
    "medium": Size(12, 8, 512, 512, 32),
    "large": Size(12, 12, 768, 1024, 32),  # GPT-2 small
}


@dataclass(frozen=True)
class Facts:
    """What the plan rests on: the text, as it was prepared, and the machine.

    flops_per_second    that training reaches here, measured; 0 where nobody has measured
    memory_free         bytes on the device; 0 where nobody has looked
    """

    train_tokens: int
    val_tokens: int
    vocab_size: int
    device: str = "cpu"
    dtype: str = "float32"
    can_compile: bool = False
    flops_per_second: float = 0.0
    memory_free: int = 0


@dataclass(frozen=True)
class Wishes:
    """What the user has asked for; everything else is the plan's to decide."""

    text: tuple[str, ...]
    tokenizer: str
    field: str = ""
    text_key: str = ""
    model: str = "modern"
    size: str = "auto"
    steps: int | None = None
    minutes: float | None = None
    context_length: int | None = None
    seed: int = 1337
    settings: tuple[tuple[str, Any], ...] = ()


def decide(wishes: Wishes, facts: Facts) -> Plan:
    """The plan for these wishes on these facts. UsageError where the wishes contradict each other."""
    if wishes.steps is not None and wishes.minutes is not None:
        raise UsageError("--steps and --minutes both say how long to train.", "Give one of them.")
    if wishes.size not in ("auto", *SIZES):
        raise UsageError(f"There is no size {wishes.size!r}.", f"The sizes are: auto, {', '.join(SIZES)}.")
    if wishes.minutes is not None and not 0 < wishes.minutes <= 60 * 24 * 365:
        raise UsageError(
            f"--minutes {wishes.minutes:g} is no time to train in.", "Give minutes, such as --minutes 5."
        )
    if wishes.steps is not None and wishes.steps < 1:
        raise UsageError(f"--steps {wishes.steps} trains nothing.", "Give at least one step.")
    minutes = 0.0 if wishes.steps is not None else (wishes.minutes or DEFAULT_MINUTES)
    size = choose_size(wishes, facts, minutes) if wishes.size == "auto" else SIZES[wishes.size]
    settings = dict(wishes.settings)
    numbers: dict[str, Any] = {
        "context_length": wishes.context_length or size.context_length,
        "batch_size": size.batch_size,
        "n_layer": size.n_layer,
        "n_head": size.n_head,
        "n_embd": size.n_embd,
        "steps": wishes.steps or 0,
        "seed": wishes.seed,
        "device": facts.device,
        "dtype": facts.dtype,
        **settings,
    }
    numbers.setdefault("n_kv_head", numbers["n_head"])
    numbers.update(
        {name: value for name, value in family_numbers(wishes, facts, numbers).items() if name not in settings}
    )
    numbers.update({name: value for name, value in recipe(wishes, numbers).items() if name not in settings})
    if not numbers["steps"] and not minutes:
        raise UsageError("steps = 0 trains nothing.", "Give at least one step.")
    plan = Plan(
        text=wishes.text,
        field=wishes.field,
        text_key=wishes.text_key,
        tokenizer=wishes.tokenizer,
        model=wishes.model,
        minutes=minutes,
        **numbers,
    )
    if facts.memory_free and "micro_batches" not in settings:
        parts = parts_that_fit(plan.config(facts.vocab_size), plan.batch_size, facts.memory_free)
        plan = plan.with_(micro_batches=parts)
    if plan.steps and "evaluate_every" not in settings:
        plan = plan.with_(evaluate_every=evaluation_interval(plan, facts.val_tokens))
    if "compile" not in settings:
        plan = plan.with_(compile=facts.can_compile and training_seconds(plan, facts) > COMPILE_FROM_SECONDS)
    return plan


def family_numbers(wishes: Wishes, facts: Facts, numbers: dict[str, Any]) -> dict[str, Any]:
    """The widths that follow from the family: inner width, and whether the head is tied."""
    if wishes.model == "bigram":
        return {"n_inner": 1, "tied_head": False}
    shape = {name: numbers[name] for name in ("context_length", "n_layer", "n_head", "n_kv_head", "n_embd")}
    config = GPTConfig.of(wishes.model, vocab_size=facts.vocab_size, **shape)
    return {"n_inner": config.n_inner, "tied_head": config.tied_head}


def recipe(wishes: Wishes, numbers: dict[str, Any]) -> dict[str, Any]:
    """How it is trained. The lecture and the bigram keep the lecture's way: AdamW at a constant rate."""
    if wishes.model in ("lecture", "bigram"):
        return {
            "optimizer": "adamw",
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "warmup_steps": 0,
            "decay": 0.0,
            "clip": 0.0,
        }
    optimizer = numbers.get("optimizer", "muon")
    return {
        "optimizer": optimizer,
        "learning_rate": LEARNING_RATES[optimizer],
        "warmup_steps": min(WARMUP_STEPS, numbers["steps"] // 10) if numbers["steps"] else WARMUP_STEPS,
    }


# Largest step of the schedule, measured at the sizes nano to mini.
LEARNING_RATES = {"muon": 3e-3, "adamw": 2e-3}


def choose_size(wishes: Wishes, facts: Facts, minutes: float) -> Size:
    """The largest size that can read enough tokens in the time, and that the text can fill.

    With --steps there is no time to go by, and the text alone decides.
    """
    chosen = SIZES["nano"]
    for size in SIZES.values():
        config = GPTConfig.of(
            "modern",
            vocab_size=facts.vocab_size,
            context_length=size.context_length,
            n_layer=size.n_layer,
            n_head=size.n_head,
            n_embd=size.n_embd,
        )
        wanted = TOKENS_PER_PARAMETER * number_of_parameters(config)
        affordable = float(MOST_EPOCHS * facts.train_tokens)
        if minutes and facts.flops_per_second:
            affordable = min(
                affordable, minutes * 60 * facts.flops_per_second / flops_per_token(config, training=True)
            )
        if wanted > affordable:
            break
        chosen = size
    return chosen


def training_seconds(plan: Plan, facts: Facts) -> float:
    """How long training takes, as far as anyone can say before it starts."""
    if not plan.steps:
        return plan.minutes * 60
    config = plan.config(facts.vocab_size)
    if isinstance(config, BigramConfig) or not facts.flops_per_second:
        return 0.0
    return plan.steps * plan.tokens_a_step * flops_per_token(config, training=True) / facts.flops_per_second


def evaluation_interval(plan: Plan, val_tokens: int) -> int:
    """Steps between evaluations: ten in the run, or fewer where they would take more than a seventh of the time.

    A token that is only read costs a third of one that is learnt from.
    """
    steps_each = min(val_tokens, MOST_TOKENS_AT_A_LOOK) / (3 * plan.tokens_a_step)
    return min(plan.steps, max(1, math.ceil(plan.steps / MOST_EVALUATIONS), math.ceil(7 * steps_each)))


def most_steps(plan: Plan, train_tokens: int) -> int:
    """Steps after which the text has been read MOST_EPOCHS times."""
    return max(1, MOST_EPOCHS * train_tokens // plan.tokens_a_step)
