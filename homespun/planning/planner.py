"""From facts and the user's wishes to a plan: a pure function, which can be tested without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homespun.errors import UsageError
from homespun.model.config import GPTConfig, ModelConfig
from homespun.model.families import DEFAULT, MODELS
from homespun.planning.cost import work_of_a_step
from homespun.planning.duration import check_duration, seconds_to_train
from homespun.planning.evaluations import eval_tokens
from homespun.planning.facts import Facts, kind_of
from homespun.planning.memory import micro_batches_that_fit
from homespun.planning.plan import Plan
from homespun.planning.search import (
    SIZES,
    Size,
    Weighed,
    best_steps,
    best_weighed,
    lost_to_compiling,
    searches,
    size_for_text,
    weighed,
)

DEFAULT_MINUTES = 5.0
WARMUP_STEPS = 50

# Peak learning rates, measured at the sizes nano to mini.
LEARNING_RATES = {"muon": 3e-3, "adamw": 2e-3}
# Muon's peak for a run of 500 steps of a model with n_embd 192. Narrow models and short runs need larger rates.
# Losses with the rate above, and with the rate in brackets: n_embd 64, 250 steps: 1.944, 1.837 (0.01);
# 64, 1,000: 1.679, 1.660 (0.006); 96, 500: 1.668, 1.644 (0.01); 128, 600: 1.513, 1.507 (0.005); 192, 200: 1.785,
# 1.760 (0.006).
LEARNING_RATE_OF_192 = 4e-3
LARGEST_LEARNING_RATE = 1.5e-2

# Tiny Shakespeare, four epochs, 2.2 M parameters: loss 1.4456 with weight decay 0.5, 1.4484 with the default.
LR_OF_EPOCHS = 2.5  # epochs
WEIGHT_DECAY_GROWTH = 0.5
# More epochs, where dropout pays, need still more weight decay. Losses on 100 kB of Shakespeare, dropout 0.2, with
# weight decay 0.5 and 2.0: 25 epochs, n_embd 128: 1.477, 1.467; n_embd 192: 1.581, 1.509;
# 50 epochs, n_embd 128: 1.539, 1.478.
LARGEST_WEIGHT_DECAY = 2.0

# Time of a run that is not training: start and end, and evaluations, samples and resume points during the run.
SECONDS_ASIDE = 4.0
SHARE_ASIDE = 0.06

# Largest share of a run's minutes spent waiting for what improves the plan: compiling our own kernels for the
# first time, timing training steps. On a busy machine both take minutes.
SHARE_WAITED = 0.1

# torch.compile costs seconds each time and half a minute the first time: the run must be long enough to gain.
COMPILE_FROM_SECONDS = 45.0


@dataclass(frozen=True)
class Wishes:
    """What the user has asked for; the planner decides everything else."""

    text: tuple[str, ...]
    tokenizer: str
    field: str = ""
    encoding: str = ""
    text_key: str = ""
    model: str = DEFAULT
    size: str = "auto"
    steps: int | None = None
    minutes: float | None = None
    context_length: int | None = None
    seed: int = 1337
    settings: tuple[tuple[str, Any], ...] = ()


def decide(wishes: Wishes, facts: Facts) -> Plan:
    """Return the plan for these wishes on these facts. UsageError if the wishes contradict each other."""
    check(wishes)
    given = asked_for(wishes)
    seconds = seconds_given(wishes)
    size, compiles = size_and_way(wishes, facts)
    if not compiles:
        facts = facts.without_compiling()
    numbers: dict[str, Any] = vars(size) | {
        "steps": 1,
        "seed": wishes.seed,
        "device": facts.device,
        "dtype": facts.dtype,
        "compile": compiles,
        "kernels": facts.kernels and not compiles,
    }
    numbers |= given
    numbers.setdefault("n_kv_head", numbers["n_head"])
    numbers = widths(wishes.model, facts, numbers) | recipe(wishes.model, numbers) | numbers
    plan = Plan(
        text=wishes.text,
        field=wishes.field,
        encoding=wishes.encoding,
        text_key=wishes.text_key,
        tokenizer=wishes.tokenizer,
        model=wishes.model,
        minutes=0.0 if seconds is None else wishes.minutes or DEFAULT_MINUTES,
        **numbers,
    )
    for part in (parts, end, rate, pull, looks, compiling):
        plan = plan.with_(**{name: value for name, value in part(plan, facts).items() if name not in given})
    return plan


@dataclass(frozen=True)
class Alternative:
    """The best model of another size: its number of parameters and its expected loss."""

    parameters: int
    loss: float


def alternatives(wishes: Wishes, facts: Facts, plan: Plan) -> tuple[Alternative | None, Alternative | None]:
    """The best model of at most half the size, and the best of at least twice the size, in the same time."""
    if not plan.compile:
        facts = facts.without_compiling()
    if not plan.minutes or not searches(plan.model) or wishes.size != "auto":
        return None, None
    chosen = plan.config(facts.vocab_size).number_of_parameters()
    found: dict[bool, Alternative] = {}
    for one in weighed(plan.model, asked_for(wishes), facts, time_for_steps(plan.minutes)):
        parameters = one.size.config(plan.model, facts.vocab_size).number_of_parameters()
        larger = parameters >= 2 * chosen
        if (larger or 2 * parameters <= chosen) and (larger not in found or one.loss < found[larger].loss):
            found[larger] = Alternative(parameters, one.loss)
    return found.get(False), found.get(True)


def check(wishes: Wishes) -> None:
    """Raise UsageError, whose hint says what to give instead, if the wishes make no sense."""
    check_duration(wishes.steps, wishes.minutes)
    if wishes.size not in ("auto", *SIZES):
        raise UsageError(f"There is no size {wishes.size!r}.", f"The sizes are: auto, {', '.join(SIZES)}.")


def asked_for(wishes: Wishes) -> dict[str, Any]:
    """The fields of the plan that the user has set; --set overrides an option."""
    options = {"context_length": wishes.context_length, "steps": wishes.steps}
    return {name: value for name, value in options.items() if value is not None} | dict(wishes.settings)


def seconds_given(wishes: Wishes) -> float | None:
    """Seconds of training that were asked for; None if a number of steps was."""
    return None if "steps" in asked_for(wishes) else time_for_steps(wishes.minutes or DEFAULT_MINUTES)


def is_short(wishes: Wishes) -> bool:
    """Whether the training time is so short that every second counts. False for a run with a number of steps."""
    return (seconds_given(wishes) or 0.0) <= COMPILE_FROM_SECONDS


def longest_wait(minutes: float | None) -> float:
    """Seconds that a run of so many minutes may spend, before planning, on preparations that are optional."""
    return SHARE_WAITED * 60 * (minutes or DEFAULT_MINUTES)


def weighs_compiling(wishes: Wishes) -> bool:
    """Whether to measure the speed of a compiled step: not if the run is too short for compiling to pay."""
    chosen: bool = asked_for(wishes).get("compile", not is_short(wishes))
    return chosen


def wants_kernels(wishes: Wishes) -> bool:
    """Whether native kernels may compute the step: not if the user wants it compiled by torch.compile."""
    given = asked_for(wishes)
    wanted: bool = given.get("kernels", not given.get("compile", False))
    return wanted


def sample_config(wishes: Wishes) -> ModelConfig:
    """A config of the family that is wished for, for asking whether a kernel suits it."""
    given = {name: value for name, value in asked_for(wishes).items() if name == "dropout"}
    return SIZES["nano"].config(wishes.model, vocab_size=256).with_(**given)


def size_and_way(wishes: Wishes, facts: Facts) -> tuple[Size, bool]:
    """The size, and whether its step is compiled, as far as that is known before the number of steps is.

    If both eager and compiled steps are possible, the one with the lower expected loss is chosen: compiling takes
    most of a short run's time.
    """
    given, seconds, named = asked_for(wishes), seconds_given(wishes), SIZES.get(wishes.size)
    compiles = facts.can_compile and weighs_compiling(wishes)
    if seconds is None or facts.speed is None or not searches(wishes.model):
        return named or size_for_text(facts.train_tokens, facts.vocab_size), compiles
    fixed = given if named is None else vars(named) | given
    both_open = compiles and facts.compiled_speed is not None and "compile" not in given
    best: dict[bool, Weighed] = {}
    for way in (True, False) if both_open else (compiles,):
        if found := best_weighed(wishes.model, fixed, facts if way else facts.without_compiling(), seconds):
            best[way] = found
    if not best:
        return named or SIZES["nano"], compiles
    compiles = min(best, key=lambda way: best[way].loss_and_waste)
    return named or best[compiles].size, compiles


def plan_for_next_time(wishes: Wishes, facts: Facts, plan: Plan) -> Plan | None:
    """The plan of this run if its step were compiled already; None if that plan would not use a compiled step.

    A user who trains for a minute usually trains again: the step can be compiled when this run is over.
    """
    if plan.compile or not plan.minutes or not weighs_compiling(wishes):
        return None
    later = decide(wishes, facts.once_compiled())
    return later if later.compile else None


def time_for_steps(minutes: float) -> float:
    """Seconds of a run of `minutes` that are left for training steps."""
    return seconds_to_train(minutes, share_aside=SHARE_ASIDE, seconds_aside=SECONDS_ASIDE)


def widths(model: str, facts: Facts, numbers: dict[str, Any]) -> dict[str, Any]:
    """The fields that follow from the family: n_inner, and whether the head is tied."""
    if MODELS[model].is_table:
        return {"n_inner": 1, "tied_head": False}
    shape = {name: numbers[name] for name in ("context_length", "n_layer", "n_head", "n_kv_head", "n_embd")}
    config = GPTConfig.of(model, vocab_size=facts.vocab_size, **shape)
    return {"n_inner": config.n_inner, "tied_head": config.tied_head}


def recipe(model: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """Optimizer, learning rate and warmup. Some families keep the recipe of their source."""
    if own := MODELS[model].recipe:
        return dict(own)
    optimizer = numbers.get("optimizer", "muon")
    return {"optimizer": optimizer, "learning_rate": LEARNING_RATES[optimizer], "warmup_steps": WARMUP_STEPS}


def parts(plan: Plan, facts: Facts) -> dict[str, Any]:
    """The number of micro-batches with which a step fits into memory."""
    if not facts.memory_free:
        return {}
    config = plan.config(facts.vocab_size)
    free, memory = facts.memory_free, facts.memory
    return {"micro_batches": micro_batches_that_fit(config, plan.batch_size, free, memory, kind_of(facts.device))}


def end(plan: Plan, facts: Facts) -> dict[str, Any]:
    """The number of steps, and of warmup steps."""
    steps = plan.steps
    if plan.minutes:
        seconds = time_for_steps(plan.minutes)
        seconds -= lost_to_compiling(size_of(plan), facts, seconds) if plan.compile else 0.0
        fitting = int(seconds / step_seconds(plan, facts)) if facts.speed else WARMUP_STEPS
        steps = max(1, steps_for(plan, fitting, facts))
    return {"steps": steps, "warmup_steps": min(plan.warmup_steps, steps // 10)}


def rate(plan: Plan, facts: Facts) -> dict[str, Any]:
    """Muon's learning rate, which is larger for short runs and for narrow models."""
    if plan.optimizer != "muon":
        return {}
    longer = LEARNING_RATE_OF_192 * (192 / plan.n_embd) ** 0.8 * (500 / plan.steps) ** 0.35
    return {"learning_rate": float(f"{min(max(plan.learning_rate, longer), LARGEST_LEARNING_RATE):.2g}")}


def pull(plan: Plan, facts: Facts) -> dict[str, Any]:
    """The weight decay, which is larger with several epochs: stronger weight decay delays overfitting."""
    times = plan.steps * plan.tokens_per_step / facts.train_tokens
    if plan.optimizer != "muon" or times <= LR_OF_EPOCHS:
        return {}
    fifths = min(1.0, plan.dropout / 0.2)
    return {"weight_decay": WEIGHT_DECAY_GROWTH + fifths * (LARGEST_WEIGHT_DECAY - WEIGHT_DECAY_GROWTH)}


def size_of(plan: Plan) -> Size:
    return Size(plan.n_layer, plan.n_head, plan.n_embd, plan.context_length, plan.batch_size, plan.dropout)


def steps_for(plan: Plan, fitting: int, facts: Facts) -> int:
    return best_steps(plan.config(facts.vocab_size), fitting, plan.tokens_per_step, facts.train_tokens)


def looks(plan: Plan, facts: Facts) -> dict[str, Any]:
    return {"eval_tokens": eval_tokens(plan.steps * plan.tokens_per_step, facts.val_tokens)}


def compiling(plan: Plan, facts: Facts) -> dict[str, Any]:
    """Whether compiling pays. With a given number of steps this is known only after they are set."""
    if plan.minutes:
        return {}
    seconds = plan.steps * step_seconds(plan, facts)
    return {"compile": facts.can_compile and seconds > 2 * COMPILE_FROM_SECONDS}


def step_seconds(plan: Plan, facts: Facts) -> float:
    """The expected seconds of a step; 0 if the machine was not measured."""
    speed = facts.speed_of(plan.compile)
    if speed is None:
        return 0.0
    return speed.seconds(work_of_a_step(plan.config(facts.vocab_size), plan.batch_size, plan.optimizer))
