"""The memory that training takes, estimated from the config alone, and the micro-batches that fit into it."""

from __future__ import annotations

from typing import Any

from homespun.errors import TrainingError
from homespun.evaluation.loss import batch_size_for
from homespun.kernels.head_loss import LARGE_VOCABULARY, LARGEST_ON_GPU
from homespun.model.config import ModelConfig

SHARE = 0.8  # of the free memory that a plan uses; the rest is left to other programs


COMPILER = 74 * 10**6  # bytes of PyTorch's compiler, which is loaded when the first step is compiled
LOADED_LATER = 60 * 10**6  # bytes of kernels and of the plotting code, where nothing is compiled


def bytes_of_a_run(config: ModelConfig, sequences: int, *, compiled: bool, dtype: str) -> int:
    """Peak bytes of a training run on a CPU, beyond what the program takes before training.

    That is another question than what has to be free for it on any machine. Its weights are copied when they
    are saved; a compiled step keeps no attention scores. Over ten runs of 2 to 8 layers, 96 to 512 wide, it hits
    to 12% where the step is compiled, and over ten steps of 2 to 6 layers, 96 to 384 wide, to 20% where it is
    not. An evaluation, which keeps nothing, counts where it takes more than a step: with small steps, and with
    vocabularies of thousands of tokens.
    """
    if not config.n_layer:
        return config.memory(sequences)
    bytes_per_value = {True: {"float32": 5.2, "bfloat16": 4.0}, False: {"float32": 4.6, "bfloat16": 3.2}}
    width = bytes_per_value[compiled][dtype]
    logits = 4 * 3 * config.vocab_size  # float32 whatever else is
    a_token = int(width * config.numbers_in_the_blocks(scores=not compiled)) + logits
    a_step = sequences * config.context_length * a_token
    if compiled:
        at_once = COMPILER + max(a_step, bytes_of_an_evaluation(config))
    else:
        at_once = max(LOADED_LATER + a_step, bytes_of_an_evaluation(config))
    return at_once + 36 * config.number_of_parameters()


def bytes_of_an_evaluation(config: ModelConfig) -> int:
    """Bytes of an evaluation beyond the weights: several copies of the logits, a block's activations, libraries.

    Fitted to ten shapes (2 to 8 layers, n_embd 96 to 512, vocabulary sizes 65 to 32,000). The estimate is within
    12%, and within 30% for the smallest shape.
    """
    tokens = config.context_length * batch_size_for(config.context_length, config.vocab_size)
    return 4 * tokens * (42 * config.n_embd + 5 * config.vocab_size)


def bytes_of_a_step(config: ModelConfig, sequences: int, device: str = "cpu") -> int:
    """Bytes of a training step on that device that computes so many sequences at once.

    On a GPU attention keeps no scores, a large vocabulary is no reason to keep logits (kernels/head_loss.py), and
    a rounded copy of the weights is kept. Nobody has measured it there: activations count as float32, which is
    more than they take in bfloat16. A run that runs out of memory goes on with more micro-batches.
    """
    if device == "cpu" or not config.n_layer:
        return config.memory(sequences)
    a_token = 4 * config.numbers_in_the_blocks(scores=False)
    at_once = 12 * LARGEST_ON_GPU  # logits and their gradient in both dtypes, and what rows are taken from them
    if config.vocab_size < LARGE_VOCABULARY:
        a_token, at_once = a_token + 4 * 3 * config.vocab_size, 0
    return 18 * config.number_of_parameters() + sequences * config.context_length * a_token + at_once


def micro_batches_that_fit(
    config: ModelConfig, batch_size: int, free: int, memory: int = 0, device: str = "cpu"
) -> int:
    """The fewest equal micro-batches that each fit into `free` bytes; one sequence at a time where none does.

    memory: bytes that the device has. Raises TrainingError where one sequence is more than all of it.
    """
    for parts in range(1, batch_size + 1):
        if batch_size % parts == 0 and bytes_of_a_step(config, batch_size // parts, device) <= SHARE * free:
            return parts
    least = bytes_of_a_step(config, 1, device)
    if least <= SHARE * memory:
        return batch_size  # other programs have it at the moment
    raise TrainingError(
        f"Training this model takes about {least / 1e9:,.1f} GB of memory even with "
        f"one sequence at a time, and {free / 1e9:,.1f} GB are free.",
        f"Take {something_smaller(config)}, or close other programs. To try it all the same: "
        "--set micro_batches=N, with an N that divides batch_size.",
    )


def something_smaller(shape: Any) -> str:
    """Return what takes less memory than a model of that shape: a config, or a plan of training or of fine-tuning.

    It never names what is the case already: no smaller size than the smallest, no shorter context than a token.
    """
    from homespun.planning.search import SIZES

    smallest, shorter = SIZES["nano"], max(1, shape.context_length // 2)
    if not hasattr(shape, "n_layer"):  # a plan of fine-tuning
        return f"shorter rows (--set context_length={shorter})"
    if not shape.n_layer:
        return "a tokenizer with fewer tokens"
    ways = [f"a shorter context (--context {shorter})"] if shorter < shape.context_length else []
    if shape.n_layer * shape.n_embd**2 > smallest.n_layer * smallest.n_embd**2:
        ways = ["a smaller model (--size nano)", *ways]
    return " or ".join(ways) or "a tokenizer with fewer tokens"
