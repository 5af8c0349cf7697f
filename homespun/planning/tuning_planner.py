"""From facts and wishes to a fine-tuning plan: a pure function, which can be tested without training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from homespun.checkpoint.hf_names import only_here
from homespun.errors import TrainingError, UsageError
from homespun.model.config import ModelConfig
from homespun.model.families import MODELS
from homespun.planning.duration import check_duration, seconds_to_train
from homespun.planning.evaluations import EVALUATIONS, TRAINING_COST
from homespun.planning.forecast import Forecast
from homespun.planning.memory import SHARE, something_smaller
from homespun.planning.tuning_facts import TuningFacts
from homespun.planning.tuning_memory import lora_numbers, step_bytes, weight_bytes
from homespun.planning.tuning_plan import TuningPlan

DEFAULT_MINUTES = 5.0
TEXT_LENGTH = 256  # tokens of a sequence of plain text: with longer ones attention dominates the time on a CPU
LONGEST_CONVERSATION = 1024
MULTIPLE = 64

TOKENS_A_STEP = (512, 1024, 2048, 4096, 8192, 16384)
STEPS_WANTED = 150  # in a run: fewer leave no time for warmup and decay of the learning rate
TOKENS_AT_ONCE = 2048  # larger micro-batches do not make matrix products faster, and take memory

# The most epochs; by then training mostly overfits. Answers are short.
EPOCHS, EPOCHS_OF_ANSWERS = 4.0, 10.0
WARMUP_SHARE, WARMUP_STEPS = 0.06, 30

# Peak learning rates at SmolLM2's n_embd of 576; wider models need smaller ones.
LORA_RATE, FULL_RATE, USUAL_WIDTH = 1e-3, 2e-4, 576

FEWEST = 2048  # tokens of an evaluation during the run
SHARE_OF_EVALUATIONS = 0.08  # of the time, for all evaluations during the run together

# Time of a run that is not training: loading, measuring, and evaluating both texts at the end.
SECONDS_ASIDE = 12.0
SHARE_ASIDE = 0.1


@dataclass(frozen=True)
class TuningWishes:
    """What the user has asked for. method "" leaves the choice to the planner."""

    text: tuple[str, ...]
    base: str
    base_revision: str = ""
    base_key: str = ""
    field: str = ""
    encoding: str = ""
    text_key: str = ""
    conversations: bool = False
    answers: str = ""
    pause: float = TuningPlan.pause
    skip_bad: bool = False
    method: str = ""
    steps: int | None = None
    minutes: float | None = None
    seed: int = 1337
    settings: tuple[tuple[str, Any], ...] = ()


def way_for(config: ModelConfig, wanted: str, new_tokens: int) -> tuple[str, str]:
    """Return (lora, qlora or full; the reason if it is not the default). UsageError if `wanted` is impossible.

    The embedding rows of new tokens have to be trained, and a model with no counterpart in other tools has no
    adapter format there either.
    """
    here_only = only_here(config)
    reason = ""
    if here_only:
        reason = f"{here_only}, so there is no adapter for it either"
    elif new_tokens:
        reason = f"the model gets {new_tokens} new tokens, and their rows have to be trained"
    if not reason:
        return wanted or "lora", ""
    if wanted in ("lora", "qlora"):
        raise UsageError(f"--{wanted} does not work here: {reason}.", "Take --full: the whole model is trained.")
    return "full", "" if wanted else f"the whole model is trained: {reason}"


def length_for(facts: TuningFacts) -> int:
    """Tokens of a sequence: fixed for plain text; for conversations enough for the longest, up to a limit."""
    longest = MULTIPLE * math.ceil(facts.lengths / MULTIPLE)
    return min(facts.config.context_length, LONGEST_CONVERSATION, max(TEXT_LENGTH, longest))


def first_plan(wishes: TuningWishes, facts: TuningFacts) -> TuningPlan:
    """The plan as far as it does not depend on the machine's speed. UsageError if the wishes contradict."""
    check_duration(wishes.steps, wishes.minutes)
    given = dict(wishes.settings)
    method, _ = way_for(facts.config, wishes.method, facts.new_tokens)
    numbers: dict[str, Any] = {
        "context_length": length_for(facts),
        "steps": wishes.steps or 1,
        "batch_size": 1,
        "rank": 0 if method == "full" else 16,
        "alpha": 0.0 if method == "full" else 32.0,
        "learning_rate": learning_rate(facts.config, method),
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "seed": wishes.seed,
        "device": facts.device,
        "dtype": facts.dtype,
        "recompute": method == "qlora",
        "quick": facts.quick and method != "full",
    } | given
    if "rank" in given and "alpha" not in given and method != "full":
        numbers["alpha"] = 2.0 * numbers["rank"]
    timed = wishes.steps is None and "steps" not in given
    return TuningPlan(
        text=wishes.text,
        field=wishes.field,
        encoding=wishes.encoding,
        text_key=wishes.text_key,
        base=wishes.base,
        base_revision=wishes.base_revision,
        base_key=wishes.base_key,
        method=method,
        conversations=wishes.conversations,
        answers=wishes.answers,
        pause=wishes.pause,
        skip_bad=wishes.skip_bad,
        minutes=(wishes.minutes or DEFAULT_MINUTES) if timed else 0.0,
        **numbers,
    )


def decide(wishes: TuningWishes, facts: TuningFacts) -> TuningPlan:
    """Return the plan for these wishes on these facts. UsageError or TrainingError if there is none."""
    given = dict(wishes.settings)
    plan = first_plan(wishes, facts)
    for part in (trainable_parameters, batch, fit_into_memory, end, looks):
        plan = plan.with_(**{name: value for name, value in part(plan, facts).items() if name not in given})
    return plan


def trainable_parameters(plan: TuningPlan, facts: TuningFacts) -> dict[str, Any]:
    """The number of trainable parameters."""
    if plan.rank == 0:
        return {"trainable_parameters": facts.config.number_of_parameters()}
    return {"trainable_parameters": lora_numbers(facts.config, plan.rank)}


def learning_rate(config: ModelConfig, method: str) -> float:
    """Return the peak learning rate for a model and a method.

    >>> small = GPTConfig.of("llama", vocab_size=65, context_length=32, n_layer=1, n_head=9, n_embd=576)
    >>> learning_rate(small, "lora")
    0.001
    """
    if own := MODELS[config.family].tuning_recipe.get("learning_rate"):
        return float(own)
    rate = (FULL_RATE if method == "full" else LORA_RATE) * math.sqrt(USUAL_WIDTH / config.n_embd)
    return float(f"{min(rate, 3e-3):.2g}")


def time_for_steps(minutes: float) -> float:
    """Seconds of a run of `minutes` that are left for training steps."""
    return seconds_to_train(minutes, share_aside=SHARE_ASIDE, seconds_aside=SECONDS_ASIDE)


def tokens_to_learn(plan: TuningPlan, facts: TuningFacts) -> float:
    """Training tokens of the run: as many as there is time for, up to the largest useful number of epochs."""
    enough = epochs(plan.conversations) * facts.train_tokens
    if not plan.minutes or not facts.seconds:
        return enough
    return min(enough, time_for_steps(plan.minutes) / facts.seconds)


def epochs(conversations: bool) -> float:
    return EPOCHS_OF_ANSWERS if conversations else EPOCHS


def batch(plan: TuningPlan, facts: TuningFacts) -> dict[str, Any]:
    """The largest batch size with which there are still enough steps."""
    tokens = tokens_to_learn(plan, facts)
    enough = [size for size in TOKENS_A_STEP if size * STEPS_WANTED <= tokens]
    size = max(enough, default=TOKENS_A_STEP[0])
    return {"batch_size": max(1, size // plan.context_length)}


def fit_into_memory(plan: TuningPlan, facts: TuningFacts) -> dict[str, Any]:
    """The number of micro-batches, and whether to recompute activations, so that a step fits into memory."""
    kept = weight_bytes(facts.config, plan.method, plan.rank, plan.dtype)
    room = SHARE * facts.memory_free - kept if facts.memory_free else math.inf
    at_most = TOKENS_AT_ONCE // 2 if plan.method == "qlora" else TOKENS_AT_ONCE
    for recompute in (False, True) if not plan.recompute else (True,):
        for parts in divisors(plan.batch_size):
            tokens = plan.batch_size // parts * plan.context_length
            if tokens > at_most and parts < plan.batch_size:
                continue
            if step_bytes(facts.config, tokens, plan.context_length, plan.dtype, recompute) <= room:
                return {"micro_batches": parts, "recompute": recompute}
    smallest = kept + step_bytes(facts.config, plan.context_length, plan.context_length, plan.dtype, True)
    if smallest <= SHARE * facts.memory:  # other programs have it at the moment
        return {"micro_batches": plan.batch_size, "recompute": True}
    raise TrainingError(
        f"Fine-tuning this model takes about {smallest / 1e9:,.1f} GB of memory even with one row at a time, "
        f"and {facts.memory_free / 1e9:,.1f} GB are free.",
        "Take --qlora, which keeps the model in four bits, or a smaller model; or close other programs."
        if plan.method != "qlora"
        else f"Take a smaller model, {something_smaller(plan)}, or close other programs.",
    )


def divisors(number: int) -> list[int]:
    """Return all divisors of `number` in increasing order.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [part for part in range(1, number + 1) if number % part == 0]


def end(plan: TuningPlan, facts: TuningFacts) -> dict[str, Any]:
    """The number of steps, and of warmup steps."""
    steps = plan.steps
    if plan.minutes:
        steps = max(1, int(tokens_to_learn(plan, facts) / plan.tokens_per_step))
    return {"steps": steps, "warmup_steps": min(WARMUP_STEPS, int(WARMUP_SHARE * steps))}


def looks(plan: TuningPlan, facts: TuningFacts) -> dict[str, Any]:
    """How often evaluations run, and on how many tokens: rarely in a short run."""
    affordable = SHARE_OF_EVALUATIONS * TRAINING_COST * plan.steps * plan.tokens_per_step
    number = int(min(EVALUATIONS, max(2, affordable // FEWEST)))
    tokens = max(FEWEST, int(affordable / number))
    return {
        "eval_tokens": tokens if tokens < facts.val_tokens else 0,
        "evaluate_every": 0 if number == EVALUATIONS else math.ceil(plan.steps / number),
    }


def forecast(plan: TuningPlan, facts: TuningFacts) -> Forecast:
    """The forecast of the plan. No loss: how well the model already fits the text is unknown before training."""
    tokens = plan.batch_size // plan.micro_batches * plan.context_length
    memory = weight_bytes(facts.config, plan.method, plan.rank, plan.dtype)
    memory += step_bytes(facts.config, tokens, plan.context_length, plan.dtype, plan.recompute)
    step_seconds = plan.tokens_per_step * facts.seconds
    seconds = plan.steps * step_seconds / (1 - SHARE_ASIDE) + SECONDS_ASIDE if facts.seconds else 0.0
    return Forecast(
        seconds=min(seconds, plan.minutes * 60) if plan.minutes else seconds,
        step_seconds=step_seconds,
        memory=facts.memory_used + memory,
        epochs=plan.steps * plan.tokens_per_step / facts.train_tokens,
        loss=None,
    )
