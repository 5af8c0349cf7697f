"""From facts and wishes to a plan: a pure function, so that it can be tested without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homespun.errors import UsageError
from homespun.model.config import GPTConfig
from homespun.model.families import DEFAULT, MODELS
from homespun.planning.cost import work_of_a_step
from homespun.planning.evaluations import eval_tokens
from homespun.planning.facts import Facts
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

# Largest step of the schedule, measured at the sizes nano to mini.
LEARNING_RATES = {"muon": 3e-3, "adamw": 2e-3}
# Muon's for a run of 500 steps of a model 192 wide. Narrow models and short runs want longer steps: 64 wide and
# 250 steps end at 1.944 with the one above, 1.837 with 0.01; 64 and 1,000 at 1.679 and 1.660 (0.006); 96 and 500
# at 1.668 and 1.644 (0.01); 128 and 600 at 1.513 and 1.507 (0.005); 192 and 200 at 1.785 and 1.760 (0.006).
LEARNING_RATE_OF_192 = 4e-3
LARGEST_LEARNING_RATE = 1.5e-2

# Tiny Shakespeare read four times, 2.2 M parameters: 1.4456 with the harder pull, 1.4484 with the usual one.
LR_OF_EPOCHS = 2.5  # times
WEIGHT_DECAY_GROWTH = 0.5
# And harder still where it is read so often that dropout is worth it. 100 kB of Shakespeare, dropout of a fifth:
# 25 readings, 128 wide, 1.477 with the harder pull and 1.467 with the hardest; 192 wide, 1.581 and 1.509;
# 50 readings, 128 wide, 1.539 and 1.478.
LARGEST_WEIGHT_DECAY = 2.0

# What of a run's minutes is not training: starting and ending, and looks, samples and resume points on the way.
SECONDS_ASIDE = 4.0
SHARE_ASIDE = 0.06

# Of a run's minutes, so many may be waited at most for what makes the plan a better one: for our own operations
# where they are compiled for the first time, for steps that are timed. Beside other programs both take minutes.
SHARE_WAITED = 0.1

# torch.compile costs seconds each time and half a minute the first time: it has to have time to pay.
COMPILE_FROM_SECONDS = 45.0


@dataclass(frozen=True)
class Wishes:
    """What the user has asked for; everything else is the plan's to decide."""

    text: tuple[str, ...]
    tokenizer: str
    field: str = ""
    text_key: str = ""
    model: str = DEFAULT
    size: str = "auto"
    steps: int | None = None
    minutes: float | None = None
    context_length: int | None = None
    seed: int = 1337
    settings: tuple[tuple[str, Any], ...] = ()


def decide(wishes: Wishes, facts: Facts) -> Plan:
    """The plan for these wishes on these facts. UsageError where the wishes contradict each other."""
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
    }
    numbers |= given
    numbers.setdefault("n_kv_head", numbers["n_head"])
    numbers = widths(wishes.model, facts, numbers) | recipe(wishes.model, numbers) | numbers
    plan = Plan(
        text=wishes.text,
        field=wishes.field,
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
    """The best of the models of another size, and the loss that is expected of it."""

    parameters: int
    loss: float


def alternatives(wishes: Wishes, facts: Facts, plan: Plan) -> tuple[Alternative | None, Alternative | None]:
    """What the best models of half the size and less, and of twice and more, would come to in the same time."""
    if not plan.compile:
        facts = facts.without_compiling()
    if not plan.minutes or not searches(plan.model) or wishes.size != "auto":
        return None, None
    chosen = plan.config(facts.vocab_size).number_of_parameters()
    found: dict[bool, Alternative] = {}
    for one in weighed(plan.model, asked_for(wishes), facts, seconds_to_train(plan.minutes)):
        parameters = one.size.config(plan.model, facts.vocab_size).number_of_parameters()
        larger = parameters >= 2 * chosen
        if (larger or 2 * parameters <= chosen) and (larger not in found or one.loss < found[larger].loss):
            found[larger] = Alternative(parameters, one.loss)
    return found.get(False), found.get(True)


def check(wishes: Wishes) -> None:
    """Raises UsageError, whose words say what would be right."""
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


def asked_for(wishes: Wishes) -> dict[str, Any]:
    """The numbers of the plan that the user has named; --set wins over an option."""
    options = {"context_length": wishes.context_length, "steps": wishes.steps}
    return {name: value for name, value in options.items() if value is not None} | dict(wishes.settings)


def seconds_given(wishes: Wishes) -> float | None:
    """Seconds of training that were asked for; None where steps were."""
    return None if "steps" in asked_for(wishes) else seconds_to_train(wishes.minutes or DEFAULT_MINUTES)


def is_short(wishes: Wishes) -> bool:
    """Whether every second before training counts. Where steps are counted, nothing depends on a second either."""
    return (seconds_given(wishes) or 0.0) <= COMPILE_FROM_SECONDS


def longest_wait(minutes: float | None) -> float:
    """Seconds of a run of so many minutes that may pass, before it is planned, with what could as well be left."""
    return SHARE_WAITED * 60 * (minutes or DEFAULT_MINUTES)


def weighs_compiling(wishes: Wishes) -> bool:
    """Whether the speed of a compiled step is worth knowing: not where time is too short for compiling to pay."""
    chosen: bool = asked_for(wishes).get("compile", not is_short(wishes))
    return chosen


def size_and_way(wishes: Wishes, facts: Facts) -> tuple[Size, bool]:
    """The size, and whether its step is compiled, as far as that is known before there are steps.

    Where both ways are open, the one is taken that learns more: compiling itself takes most of a short run's time.
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
    """What such a run would be if its step were compiled already; None where that changes nothing.

    Who trains for a minute does so again: the step can be compiled when this run is over.
    """
    if plan.compile or not plan.minutes or not weighs_compiling(wishes):
        return None
    later = decide(wishes, facts.once_compiled())
    return later if later.compile else None


def seconds_to_train(minutes: float) -> float:
    """What is left for training of a run's minutes."""
    return max(0.2 * 60 * minutes, (1 - SHARE_ASIDE) * 60 * minutes - SECONDS_ASIDE)


def widths(model: str, facts: Facts, numbers: dict[str, Any]) -> dict[str, Any]:
    """The widths that follow from the family: inner width, and whether the head is tied."""
    if MODELS[model].is_table:
        return {"n_inner": 1, "tied_head": False}
    shape = {name: numbers[name] for name in ("context_length", "n_layer", "n_head", "n_kv_head", "n_embd")}
    config = GPTConfig.of(model, vocab_size=facts.vocab_size, **shape)
    return {"n_inner": config.n_inner, "tied_head": config.tied_head}


def recipe(model: str, numbers: dict[str, Any]) -> dict[str, Any]:
    """How it is trained. Some families keep the recipe of where they come from."""
    if own := MODELS[model].recipe:
        return dict(own)
    optimizer = numbers.get("optimizer", "muon")
    return {"optimizer": optimizer, "learning_rate": LEARNING_RATES[optimizer], "warmup_steps": WARMUP_STEPS}


def parts(plan: Plan, facts: Facts) -> dict[str, Any]:
    """In how many parts a step is computed, so that memory suffices."""
    if not facts.memory_free:
        return {}
    config = plan.config(facts.vocab_size)
    return {"micro_batches": micro_batches_that_fit(config, plan.batch_size, facts.memory_free, facts.memory)}


def end(plan: Plan, facts: Facts) -> dict[str, Any]:
    """Where the run ends, and how long it climbs before."""
    steps = plan.steps
    if plan.minutes:
        seconds = seconds_to_train(plan.minutes)
        seconds -= lost_to_compiling(size_of(plan), facts, seconds) if plan.compile else 0.0
        fitting = int(seconds / step_seconds(plan, facts)) if facts.speed else WARMUP_STEPS
        steps = max(1, steps_for(plan, fitting, facts))
    return {"steps": steps, "warmup_steps": min(plan.warmup_steps, steps // 10)}


def rate(plan: Plan, facts: Facts) -> dict[str, Any]:
    """Muon's learning rate, which is longer where there are few steps to go, and few numbers to a row."""
    if plan.optimizer != "muon":
        return {}
    longer = LEARNING_RATE_OF_192 * (192 / plan.n_embd) ** 0.8 * (500 / plan.steps) ** 0.35
    return {"learning_rate": float(f"{min(max(plan.learning_rate, longer), LARGEST_LEARNING_RATE):.2g}")}


def pull(plan: Plan, facts: Facts) -> dict[str, Any]:
    """A text that is read several times is learnt by heart later where the weights are pulled to zero harder."""
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
    """Whether compiling pays. With steps it is not known before they are."""
    if plan.minutes:
        return {}
    seconds = plan.steps * step_seconds(plan, facts)
    return {"compile": facts.can_compile and seconds > 2 * COMPILE_FROM_SECONDS}


def step_seconds(plan: Plan, facts: Facts) -> float:
    """How long a step takes, as far as anyone can say before it starts; 0 where nobody has measured."""
    speed = facts.speed_of(plan.compile)
    if speed is None:
        return 0.0
    return speed.seconds(work_of_a_step(plan.config(facts.vocab_size), plan.batch_size, plan.optimizer))
