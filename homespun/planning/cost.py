"""What a training step costs in seconds: from its shape, and from how fast this machine was found to be.

Three things take time. Products of matrices, which processors have special units for. Everything
that is done to numbers one by one (norms, the softmax, the gate, casts): it takes the time of moving
them. And starting an operation at all, which matters where the matrices are small.
"""

from __future__ import annotations

from dataclasses import dataclass

from homespun.kernels.newton_schulz import QUINTICS
from homespun.model.config import ModelConfig

# With Muon one half of the matrices takes a step, then the other half, each twice as far. That is half of the
# work, and what a model learns is the same: 800 steps of 4 layers, 192 wide, on tiny Shakespeare
# end at 1.50 either way.
TURNS = 2


@dataclass(frozen=True)
class Work:
    """What one step has to do."""

    products: float  # floating-point operations in products of matrices
    numbers: float  # that are read or written one by one
    starts: float  # operations, counted in blocks of the model


@dataclass(frozen=True)
class Speed:
    """Seconds for each: for a floating-point operation, a number, a block. Measured by calibrate.py."""

    product: float
    number: float
    start: float

    def seconds(self, work: Work) -> float:
        return work.products * self.product + work.numbers * self.number + work.starts * self.start

    def times(self, factor: float) -> Speed:
        return Speed(self.product * factor, self.number * factor, self.start * factor)


def work_of_a_step(config: ModelConfig, batch_size: int, optimizer: str = "muon") -> Work:
    """One step of training on `batch_size` sequences of full length: forward, backward and update."""
    tokens = batch_size * config.context_length
    parameters = config.number_of_parameters()
    numbers = tokens * (config.numbers_in_the_blocks() + 3 * config.vocab_size) + 8 * parameters
    products = float(tokens * config.flops_per_token(training=True))
    if optimizer == "muon":
        products += config.n_layer * orthogonalising(config)
    return Work(float(products), float(numbers), 1.0 + config.n_layer)


def orthogonalising(config: ModelConfig) -> float:
    """Floating-point operations that Muon takes for the matrices of a block; one half of them steps at a time."""
    short = min(config.n_embd, config.n_inner)
    # x xᵀ, its square, and the product with x, for every iteration: about 4 to 6 short² per entry.
    return len(QUINTICS) * 5.0 * short * config.matrix_entries() / TURNS
