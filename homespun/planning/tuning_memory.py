"""The memory that fine-tuning takes: the stored weights, the trainable parameters, and one step."""

from __future__ import annotations

from homespun.kernels.head_loss import LARGEST
from homespun.model.config import ModelConfig

LEARNT = 16  # bytes per trainable parameter: value, gradient and two moments
NF4 = 4.5 / 8  # bytes per parameter of a matrix in four bits, including its scales
BFLOAT16, FLOAT32 = 2, 4


def lora_numbers(config: ModelConfig, rank: int) -> int:
    """The number of LoRA parameters: rank times the sum of rows and columns of every matrix of the blocks.

    >>> toy = GPTConfig.of("modern", vocab_size=65, context_length=32, n_layer=1, n_head=1, n_embd=32, n_inner=64)
    >>> lora_numbers(toy, 4)  # 4 matrices of 32 by 32 and 3 of 32 by 64
    2176
    """
    return rank * config.matrix_sides() * config.n_layer


def weight_bytes(config: ModelConfig, method: str, rank: int, dtype: str) -> int:
    """Bytes of the stored model, and of the trainable parameters with gradients and optimizer state."""
    parameters = config.number_of_parameters()
    if method == "full":
        return LEARNT * parameters
    width = BFLOAT16 if dtype == "bfloat16" else FLOAT32
    blocks = config.n_layer * config.matrix_entries()
    kept = (parameters - blocks) * width + int(blocks * (NF4 if method == "qlora" else width))
    return kept + LEARNT * lora_numbers(config, rank)


def step_bytes(config: ModelConfig, tokens: int, length: int, dtype: str, recompute: bool) -> int:
    """Bytes of a step of `tokens` tokens in sequences of `length`, most of them kept for the backward pass."""
    if not config.n_layer:
        return config.memory(1)
    half = BFLOAT16 if dtype == "bfloat16" else FLOAT32
    queries, keys = config.query_width, config.key_width
    between = FLOAT32 * config.n_embd  # the residual stream between blocks
    inside = 2 * between + half * (2 * config.n_embd + 4 * queries + 4 * keys + 4 * config.n_inner)
    inside += (FLOAT32 + half) * config.n_head * length  # attention weights
    blocks = config.n_layer * between + 2 * inside if recompute else config.n_layer * (between + inside)
    return tokens * (blocks + 4 * between) + 3 * FLOAT32 * LARGEST
