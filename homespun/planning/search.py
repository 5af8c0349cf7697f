"""The search for a shape: which model, on which batches, will have learnt the most when the time is over.

Every shape of a grid is weighed: how many steps of it fit into the time (cost.py), and what loss a
model of that size reaches after so many tokens of this text (expectation.py). A larger model learns
more from a token and reads fewer of them; the best is in between, and where depends on the
machine, the time and the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from homespun.errors import HomespunError
from homespun.model.config import GPTConfig, ModelConfig
from homespun.model.families import DEFAULT, MODELS
from homespun.planning.cost import work_of_a_step
from homespun.planning.expected_loss import expected_loss, overfit_pressure
from homespun.planning.facts import COMPILED_ALREADY, Facts
from homespun.planning.memory import SHARE


@dataclass(frozen=True)
class Size:
    """A shape with the batch that suits it; the names are the plan's."""

    n_layer: int
    n_head: int
    n_embd: int
    context_length: int
    batch_size: int
    dropout: float = 0.0

    def config(self, model: str, vocab_size: int) -> GPTConfig:
        """The config of that family and this shape. Raises ModelError where the numbers do not make a model."""
        return GPTConfig.of(
            model,
            vocab_size=vocab_size,
            context_length=self.context_length,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_embd=self.n_embd,
            dropout=self.dropout,
        )


SIZES = {
    "nano": Size(4, 4, 128, 64, 12),  # the shape of nanoGPT's recipe for a CPU
    "micro": Size(5, 6, 192, 128, 32),
    "mini": Size(6, 8, 256, 256, 16),
    "small": Size(6, 6, 384, 256, 64),  # the lecture's large run
    "medium": Size(12, 8, 512, 512, 32),
    "large": Size(12, 12, 768, 1024, 32),  # GPT-2 small
}

# The grid. Between two neighbours the expected loss differs by less than the expectation is uncertain.
LAYERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
WIDTHS = (64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536)
CONTEXTS = (32, 64, 128, 256, 512, 1024)
TOKENS_A_STEP = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
# Dropout, and the `overfit_pressure` from which it is considered: below it dropout only slows learning down.
DROPOUTS = {0.0: 0.0, 0.1: 0.25, 0.2: 1.0}
HEAD_WIDTH = 32  # narrow models want more heads than wide ones would have, …
WIDE_HEAD_WIDTH = 64  # … from this width on
WIDE_FROM = 320

# Beyond these the expectation has not been held against any run.
FEWEST_SEQUENCES = 8  # a step: fewer are too much alike
SLIMMEST, STOUTEST = 16, 80  # width for each layer, …
NEVER_TOO_WIDE = 128  # … of which a single layer may have more

# One layer learns most in a few seconds, then no more than two that are as large: 128 wide and 280 steps 1.825,
# where 2 layers of 64 have come to 1.870; 500 steps 1.745, and 2 layers of 96 to 1.736.
MOST_STEPS_OF_ONE_LAYER = 400

LOST_AT_MOST = 0.75  # of the time: so much slower is a step that is not compiled, on a core less

FEWEST_STEPS = 100  # fewer never leave the warmup behind; only where there is no time for more

# With --steps there is no time to go by: a model wants to read about this many tokens for each of its parameters.
TOKENS_PER_PARAMETER = 2.5

# A model of more parameters than this for every token of the text only learns it by heart sooner.
MOST_PARAMETERS_PER_TOKEN = 10

# Reading the same text more often than this teaches a model the text by heart; one with dropout learns for longer.
MOST_EPOCHS, MOST_EPOCHS_DROPPING = 8, 32
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)  # of that which are weighed

# On a machine that is faster than it was thought to be a run ends in its time all the same: it reads on up to
# so much longer. What it keeps are the best weights that there were.
LONGER = 2.0

# Somebody who gives minutes wants them used: all of them left over weigh as much as this share of the loss.
WASTE = 0.05


@dataclass(frozen=True)
class Weighed:
    """A size with the loss that is expected of it, and the share of the time that it would use."""

    size: Size
    loss: float
    used: float

    @property
    def loss_and_waste(self) -> float:
        return self.loss * (1 + WASTE * (1 - self.used))


def best_weighed(model: str, given: dict[str, Any], facts: Facts, seconds: float) -> Weighed | None:
    """The best of the grid for a family, `seconds` of training and this text; None where nothing of it fits."""
    for fewest in (FEWEST_STEPS, 1):
        tried = weighed(model, given, facts, seconds, fewest)
        if best := min(tried, key=lambda one: one.loss_and_waste, default=None):
            return best
    return None


def searches(model: str) -> bool:
    """The lecture's models are what they are."""
    return MODELS[model].planned


def weighed(
    model: str,
    given: dict[str, Any],
    facts: Facts,
    seconds: float,
    fewest_steps: int = FEWEST_STEPS,
) -> Iterator[Weighed]:
    """Every size of the grid that fits into memory, and takes so many steps in the time.

    What is `given` stays as it is. The step is a compiled one where the facts have its speed.
    """
    speed = facts.speed_of(compiled=True)
    if speed is None:
        return
    for n_layer, n_head, n_embd, context_length in shapes(given, facts):
        try:
            config = Size(n_layer, n_head, n_embd, context_length, 1).config(model, facts.vocab_size)
        except HomespunError:
            continue  # what was given does not go together with it
        if facts.memory_free and config.memory(1) > SHARE * facts.memory_free:
            continue
        if (
            n_layer * config.matrix_entries() > MOST_PARAMETERS_PER_TOKEN * facts.train_tokens
            and n_embd > WIDTHS[0]
        ):
            continue
        configs = [config.with_(dropout=dropout) for dropout in dropouts(given, config)]
        for config, batch_size in product(configs, batch_sizes(given, context_length)):
            tokens_per_step = batch_size * context_length
            work = work_of_a_step(config, batch_size, given.get("optimizer", "muon"))
            size = Size(n_layer, n_head, n_embd, context_length, batch_size, config.dropout)
            fitting = int((seconds - lost_to_compiling(size, facts, seconds)) / speed.seconds(work))
            if fitting < fewest_steps or (n_layer == 1 and fitting > MOST_STEPS_OF_ONE_LAYER):
                continue
            steps = best_steps(config, fitting, tokens_per_step, facts.train_tokens)
            times = steps * tokens_per_step / facts.train_tokens
            least = 0.0 if "dropout" in given else DROPOUTS[config.dropout]
            if overfit_pressure(config, times, facts.train_tokens) < least:
                continue
            loss = expected_loss(config, steps, tokens_per_step, facts.train_tokens, facts.counted)
            yield Weighed(size, loss, steps / fitting)


def lost_to_compiling(size: Size, facts: Facts, seconds: float) -> float:
    """Seconds of training: few for a shape that was compiled before, which is a reason to take it again.

    While a new one is compiled training goes on, but more slowly, and for a minute or so.
    """
    if facts.compiled_speed is None:
        return 0.0
    lost = COMPILED_ALREADY if tuple(vars(size).values()) in facts.compiled else facts.compiling
    return min(lost, LOST_AT_MOST * seconds)


def shapes(given: dict[str, Any], facts: Facts) -> Iterator[tuple[int, int, int, int]]:
    """n_layer, n_head, n_embd, context_length of the grid, with what is given in place of its axes."""
    longest = max(1, min(facts.train_tokens, facts.val_tokens) // 4)
    contexts = [context for context in CONTEXTS if context <= longest] or [CONTEXTS[0]]
    for n_layer in (given["n_layer"],) if "n_layer" in given else LAYERS:
        for n_embd in (given["n_embd"],) if "n_embd" in given else WIDTHS:
            head_width = WIDE_HEAD_WIDTH if n_embd >= WIDE_FROM else HEAD_WIDTH
            usual = SLIMMEST * n_layer <= n_embd <= max(NEVER_TOO_WIDE, STOUTEST * n_layer)
            if not usual and not {"n_layer", "n_embd"} & given.keys():
                continue
            n_head = given.get("n_head", max(1, n_embd // head_width))
            for context_length in (given["context_length"],) if "context_length" in given else contexts:
                yield n_layer, n_head, n_embd, context_length


def dropouts(given: dict[str, Any], config: GPTConfig) -> tuple[float, ...]:
    """A number at a time dropout takes as long as all the rest on a CPU: there it is for who asks for it."""
    if "dropout" in given:
        return (given["dropout"],)
    return tuple(DROPOUTS) if config.drops_whole else (0.0,)


def batch_sizes(given: dict[str, Any], context_length: int) -> list[int]:
    if "batch_size" in given:
        return [given["batch_size"]]
    return [tokens // context_length for tokens in TOKENS_A_STEP if tokens >= FEWEST_SEQUENCES * context_length]


def size_for_text(train_tokens: int, vocab_size: int) -> Size:
    """The largest named size that the text can fill, where there is no time to go by."""
    chosen = SIZES["nano"]
    for size in SIZES.values():
        parameters = size.config(DEFAULT, vocab_size).number_of_parameters()
        if TOKENS_PER_PARAMETER * parameters > MOST_EPOCHS * train_tokens:
            break
        chosen = size
    return chosen


def best_steps(config: ModelConfig, fitting: int, tokens_per_step: int, train_tokens: int) -> int:
    """As many steps as fit, or fewer where the model would overfit before the time is over."""
    return int(max(1, min(fitting, enough_steps(config, tokens_per_step, train_tokens))))


def enough_steps(config: ModelConfig, tokens_per_step: int, train_tokens: int) -> float:
    """Steps after which this model would only overfit, however much time is left; without blocks it never does."""
    if not config.n_layer:
        return math.inf
    most = (MOST_EPOCHS_DROPPING if config.dropout else MOST_EPOCHS) * train_tokens / tokens_per_step
    tried = [max(1, math.ceil(most * share)) for share in SHARES]
    return min(tried, key=lambda steps: expected_loss(config, steps, tokens_per_step, train_tokens))
