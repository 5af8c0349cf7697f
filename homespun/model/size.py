"""How large a model is and what a token costs it, from its config alone: nothing is built for it."""

from __future__ import annotations

from homespun.model.config import BigramConfig, GPTConfig


def number_of_parameters(config: GPTConfig | BigramConfig) -> int:
    """All weights of the model, a tied head counted once.

    >>> toy = GPTConfig.of("lecture", vocab_size=65, context_length=32, n_layer=4, n_head=4, n_embd=64)
    >>> number_of_parameters(toy)
    209729
    """
    if isinstance(config, BigramConfig):
        return config.vocab_size**2
    width, norm = config.n_embd, config.n_embd * (2 if config.norm == "layernorm" else 1)
    queries, keys = config.n_head * config.head_width, config.n_kv_head * config.head_width
    biases = 0
    if config.qkv_bias:
        biases += queries + 2 * keys
    if config.bias:
        biases += width + config.n_inner + width
    block = matrix_entries(config) + biases + 2 * norm + (2 * config.head_width if config.qk_norm else 0)
    total = config.vocab_size * width + config.n_layer * block + norm
    if config.position == "learned":
        total += config.context_length * width
    if not config.tied_head:
        total += config.vocab_size * width
    return total + (config.vocab_size if config.head_bias else 0)


def matrix_entries(config: GPTConfig) -> int:
    """Entries of all matrices of one block: what a token is multiplied with on its way through."""
    queries, keys = config.n_head * config.head_width, config.n_kv_head * config.head_width
    ways = 3 if config.feed_forward == "swiglu" else 2
    return config.n_embd * (queries + keys + keys + queries + ways * config.n_inner)


def numbers_in_the_blocks(config: GPTConfig, *, scores: bool = True) -> int:
    """Numbers that all blocks make of one token of a full context, and training needs again.

    scores: with the token's share of who looks at whom, which only some ways of attention keep.
    """
    in_a_block = 16 * config.n_embd + 4 * config.n_inner
    if scores:
        in_a_block += 2 * config.n_head * config.context_length
    return config.n_layer * in_a_block


def flops_per_token(config: GPTConfig | BigramConfig, *, training: bool = False) -> int:
    """Floating-point operations for one token of a full context; a multiply-and-add counts as two.

    Matrix products only (they are nearly all of it). Training costs three times the
    forward pass: the gradient needs one product for the inputs and one for the weights
    (Kaplan et al. 2020, arXiv 2001.08361).
    """
    if isinstance(config, BigramConfig):
        return 0  # a look-up
    products = config.n_layer * matrix_entries(config) + config.n_embd * config.vocab_size
    # The explicit way computes the whole T x T square, its unused half included.
    scores = config.n_layer * 2 * config.context_length * config.n_head * config.head_width
    return 2 * (products + scores) * (3 if training else 1)
