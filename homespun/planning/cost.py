"""The cost of a training step in seconds, from its shape and the measured speed of this machine.

Three things take time: matrix products, for which processors have special units; elementwise
operations (norms, softmax, gates, casts), which are limited by memory bandwidth; and the overhead
of launching an operation, which matters where the matrices are small.
"""

from __future__ import annotations

from dataclasses import dataclass

from homespun.kernels.newton_schulz import QUINTICS
from homespun.model.config import ModelConfig

# With Muon, one half of the matrices is updated in one step and the other half in the next, each with twice the
# learning rate. That halves the work, and the model learns the same: 800 steps of 4 layers, n_embd 192, on tiny
# Shakespeare end at a loss of 1.50 either way.
TURNS = 2


@dataclass(frozen=True)
class Work:
    """The operations of one training step."""

    products: float  # floating-point operations in matrix products
    numbers: float  # values that elementwise operations read or write
    starts: float  # launches of operations, counted in blocks of the model


@dataclass(frozen=True)
class Speed:
    """Seconds per floating-point operation, per elementwise value and per block; training/measured_speed.py."""

    product: float
    number: float
    start: float

    def seconds(self, work: Work) -> float:
        return work.products * self.product + work.numbers * self.number + work.starts * self.start

    def times(self, factor: float) -> Speed:
        return Speed(self.product * factor, self.number * factor, self.start * factor)


def work_of_a_step(config: ModelConfig, batch_size: int, optimizer: str = "muon") -> Work:
    """The work of one training step on `batch_size` sequences of full length: forward, backward and update."""
    tokens = batch_size * config.context_length
    parameters = config.number_of_parameters()
    numbers = tokens * (config.numbers_in_the_blocks() + 3 * config.vocab_size) + 8 * parameters
    products = float(tokens * config.flops_per_token(training=True))
    if optimizer == "muon":
        products += config.n_layer * orthogonalising(config)
    return Work(float(products), float(numbers), 1.0 + config.n_layer)


def orthogonalising(config: ModelConfig) -> float:
    """Floating-point operations of Muon for the matrices of a block; half of them are updated in each step."""
    short = min(config.n_embd, config.n_inner)
    # x xᵀ, its square, and the product with x, in every iteration: about 4 to 6 short² per entry.
    return len(QUINTICS) * 5.0 * short * config.matrix_entries() / TURNS


def utilisation(config: ModelConfig, tokens_per_second: float, peak: float) -> float:
    """Model FLOPs utilisation (MFU): the share of a device's peak rate that training the model takes.

    6 N + 12 L T d operations a token (Chowdhery et al. 2022, arXiv 2204.02311): N weights that a token is
    multiplied with, L layers, T tokens of context, attention d wide. What is computed twice, or for nothing, is
    not counted, nor is the optimizer. peak: floating-point operations a second; 0 where unknown, which gives 0.

    >>> from homespun.model.config import GPTConfig
    >>> shape = dict(vocab_size=50257, context_length=1024, n_layer=12, n_head=12, n_embd=768)
    >>> round(utilisation(GPTConfig.of("gpt2", **shape), 577_000, 989e12), 3)
    0.498
    """
    return tokens_per_second * config.flops_per_token(training=True) / peak if peak else 0.0
