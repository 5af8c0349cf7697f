"""The search for a shape: the model and batch size with the lowest expected loss at the end of the time.

Every shape of a grid is evaluated: how many of its steps fit into the time (cost.py), and what loss a
model of that size reaches after that many tokens of this text (expected_loss.py). A larger model learns
more from each token but processes fewer of them. The best size is in between, and depends on the
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
from homespun.planning.facts import COMPILED_ALREADY, Facts, kind_of
from homespun.planning.memory import SHARE, bytes_of_a_step


@dataclass(frozen=True)
class Size:
    """A shape with its batch size and dropout; the fields have the plan's names."""

    n_layer: int
    n_head: int
    n_embd: int
    context_length: int
    batch_size: int
    dropout: float = 0.0

    def config(self, model: str, vocab_size: int) -> GPTConfig:
        """The config of that family with this shape. ModelError if the values do not make a model."""
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

# The grid. Between two neighbours, the expected loss differs by less than its uncertainty.
LAYERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
WIDTHS = (64, 96, 128, 160, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536)
CONTEXTS = (32, 64, 128, 256, 512, 1024)
TOKENS_A_STEP = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
# Dropout -> the smallest `overfit_pressure` at which it is considered: below that it only slows learning.
DROPOUTS = {0.0: 0.0, 0.1: 0.25, 0.2: 1.0}
HEAD_WIDTH = 32  # narrow models do better with more heads than the usual width of a head gives them, …
WIDE_HEAD_WIDTH = 64  # … which is used from this n_embd on
WIDE_FROM = 320

# The expected loss has not been compared with any run beyond these limits.
FEWEST_SEQUENCES = 8  # per step: fewer are too similar to each other
SLIMMEST, STOUTEST = 16, 80  # n_embd per layer, …
NEVER_TOO_WIDE = 128  # … which a single layer may exceed up to this n_embd

# In a run of a few seconds one layer reaches the lowest loss; later, two layers of a similar size do. One layer of
# n_embd 128: 1.825 after 280 steps, when 2 layers of 64 are at 1.870; 1.745 after 500, 2 layers of 96 at 1.736.
MOST_STEPS_OF_ONE_LAYER = 400

LOST_AT_MOST = 0.75  # of the time: during compilation, eager steps on one core fewer lose this much throughput

FEWEST_STEPS = 100  # shorter runs do not get far beyond warmup; they are used only if there is no time for more

# With --steps there is no time limit to search by: a model gets about this many tokens per parameter.
TOKENS_PER_PARAMETER = 2.5

# A model with more parameters than this per token of the text only overfits sooner.
MOST_PARAMETERS_PER_TOKEN = 10

# With more epochs than this the model overfits; with dropout it goes on improving for longer.
MOST_EPOCHS, MOST_EPOCHS_DROPPING = 8, 32
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)  # of those epochs, to choose from

# A run on a machine that is faster than measured still uses its time: it trains for up to this many times the
# planned steps. The best weights of the run are kept.
LONGER = 2.0

# A user who gives minutes wants them used: leaving all of them unused counts like this share of the loss.
WASTE = 0.05


@dataclass(frozen=True)
class Weighed:
    """A size with its expected loss, and the share of the time that it would use."""

    size: Size
    loss: float
    used: float

    @property
    def loss_and_waste(self) -> float:
        return self.loss * (1 + WASTE * (1 - self.used))


def best_weighed(model: str, given: dict[str, Any], facts: Facts, seconds: float) -> Weighed | None:
    """The best size of the grid for a family, `seconds` of training and this text; None if none of it fits."""
    for fewest in (FEWEST_STEPS, 1):
        tried = weighed(model, given, facts, seconds, fewest)
        if best := min(tried, key=lambda one: one.loss_and_waste, default=None):
            return best
    return None


def searches(model: str) -> bool:
    """Whether the family's shape is searched for; the lecture's models have fixed shapes."""
    return MODELS[model].planned


def weighed(
    model: str,
    given: dict[str, Any],
    facts: Facts,
    seconds: float,
    fewest_steps: int = FEWEST_STEPS,
) -> Iterator[Weighed]:
    """Every size of the grid that fits into memory and takes at least `fewest_steps` steps in the time.

    Values in `given` are fixed. The step is a compiled one if the facts contain its speed.
    """
    speed = facts.speed_of(compiled=True)
    if speed is None:
        return
    for n_layer, n_head, n_embd, context_length in shapes(given, facts):
        try:
            config = Size(n_layer, n_head, n_embd, context_length, 1).config(model, facts.vocab_size)
        except HomespunError:
            continue  # the given values do not fit this shape
        if facts.memory_free and bytes_of_a_step(config, 1, kind_of(facts.device)) > SHARE * facts.memory_free:
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
    """Seconds of training time lost to compiling. A shape that was compiled before loses few, which favours it.

    While a new shape is compiled, for about a minute, training goes on more slowly.
    """
    if facts.compiled_speed is None:
        return 0.0
    lost = COMPILED_ALREADY if tuple(vars(size).values()) in facts.compiled else facts.compiling
    return min(lost, LOST_AT_MOST * seconds)


def shapes(given: dict[str, Any], facts: Facts) -> Iterator[tuple[int, int, int, int]]:
    """n_layer, n_head, n_embd, context_length of every shape of the grid; `given` values replace its axes."""
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
    """Dropout rates to try. On a CPU, elementwise dropout takes as long as the rest of a step: only on request."""
    if "dropout" in given:
        return (given["dropout"],)
    return tuple(DROPOUTS) if config.drops_whole else (0.0,)


def batch_sizes(given: dict[str, Any], context_length: int) -> list[int]:
    if "batch_size" in given:
        return [given["batch_size"]]
    return [tokens // context_length for tokens in TOKENS_A_STEP if tokens >= FEWEST_SEQUENCES * context_length]


def size_for_text(train_tokens: int, vocab_size: int) -> Size:
    """The largest named size that the text has enough tokens for, where there is no time limit to search by."""
    chosen = SIZES["nano"]
    for size in SIZES.values():
        parameters = size.config(DEFAULT, vocab_size).number_of_parameters()
        if TOKENS_PER_PARAMETER * parameters > MOST_EPOCHS * train_tokens:
            break
        chosen = size
    return chosen


def best_steps(config: ModelConfig, fitting: int, tokens_per_step: int, train_tokens: int) -> int:
    """As many steps as fit, or fewer if the model would overfit before the time is over."""
    return int(max(1, min(fitting, enough_steps(config, tokens_per_step, train_tokens))))


def enough_steps(config: ModelConfig, tokens_per_step: int, train_tokens: int) -> float:
    """The number of steps after which this model only overfits; infinite for a model without blocks."""
    if not config.n_layer:
        return math.inf
    most = (MOST_EPOCHS_DROPPING if config.dropout else MOST_EPOCHS) * train_tokens / tokens_per_step
    tried = [max(1, math.ceil(most * share)) for share in SHARES]
    return min(tried, key=lambda steps: expected_loss(config, steps, tokens_per_step, train_tokens))
