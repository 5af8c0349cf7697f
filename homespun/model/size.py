"""How large a GPT is and what a token costs it, from its config alone: nothing is built for it.

Ask the config, which answers for every kind of model: `config.number_of_parameters()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homespun.model.config import GPTConfig

GATED = ("swiglu", "geglu")  # feed-forward layers with a gate


def number_of_parameters(config: GPTConfig) -> int:
    """All weights of the model, a tied head counted once."""
    width, norm = config.n_embd, config.n_embd * (2 if config.norm == "layernorm" else 1)
    biases = 0
    if config.qkv_bias:
        biases += config.query_width + 2 * config.key_width
    if config.bias:
        biases += width + config.n_inner + width
    norms = (4 if config.norm_place == "both" else 2) * norm
    if config.qk_norm:
        norms += 2 * config.head_width if config.qk_norm_over == "head" else config.query_width + config.key_width
    block = matrix_entries(config) + biases + norms
    return table_entries(config) + config.n_layer * block + norm + (config.vocab_size if config.head_bias else 0)


def table_entries(config: GPTConfig) -> int:
    """Entries of the tables of tokens and positions, the head included."""
    rows = config.vocab_size * (1 if config.tied_head else 2)
    rows += config.context_length if config.position == "learned" else 0
    return rows * config.n_embd


def matrix_entries(config: GPTConfig) -> int:
    """Entries of all matrices of one block: what a token is multiplied with on its way through."""
    return config.n_embd * (2 * config.query_width + 2 * config.key_width + ways(config) * config.n_inner)


def matrix_sides(config: GPTConfig) -> int:
    """Inputs and outputs of all matrices of one block: a change of rank r to each has r times as many numbers."""
    attention = 2 * (config.n_embd + config.query_width) + 2 * (config.n_embd + config.key_width)
    return attention + ways(config) * (config.n_embd + config.n_inner)


def ways(config: GPTConfig) -> int:
    """Matrices of a feed-forward layer: a gated one has a second way up."""
    return 3 if config.feed_forward in GATED else 2


def numbers_in_the_blocks(config: GPTConfig, *, scores: bool = True) -> int:
    """Numbers that all blocks make of one token of a full context, and training needs again.

    scores: with the token's row of attention weights, which only some kinds of attention keep.
    """
    in_a_block = 16 * config.n_embd + 4 * config.n_inner
    if scores:
        in_a_block += 2 * config.n_head * config.context_length
    return config.n_layer * in_a_block


def flops_per_token(config: GPTConfig, *, training: bool = False, context: int | None = None) -> int:
    """Floating-point operations for one token; a multiply-and-add counts as two.

    context: how many tokens it attends to; None for a full context. Matrix products only (they are nearly all
    of it). Training costs three times the forward pass: the gradient needs one product for the inputs and one
    for the weights (Kaplan et al. 2020, arXiv 2001.08361).
    """
    context = config.context_length if context is None else context
    products = config.n_layer * matrix_entries(config) + config.n_embd * config.vocab_size
    # The explicit way computes the whole T x T square, its unused half included.
    scores = config.n_layer * 2 * context * config.query_width
    return 2 * (products + scores) * (3 if training else 1)


def training_memory(config: GPTConfig, sequences: int) -> int:
    """Bytes of a training step that computes so many sequences at once, beyond what the program itself takes.

    Weights, gradients and two moments take four numbers of four bytes each. Of the forward pass the
    backward pass needs nearly everything again; the coefficients are fitted to measured peaks of eight
    shapes (4 to 12 layers, 128 to 512 wide, contexts of 64 to 512), which they hit to -15% to +45%.
    """
    tokens = sequences * config.context_length
    kept = 16 * number_of_parameters(config)
    return kept + 4 * tokens * (numbers_in_the_blocks(config) + 3 * config.vocab_size)


def cache_bytes(config: GPTConfig) -> int:
    """Keys and values of a full context in float32."""
    return 2 * 4 * config.n_layer * config.key_width * config.context_length
