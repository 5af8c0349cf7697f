"""A GGUF file as an ordinary GPT of ours, with its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from homespun.checkpoint.folder import assemble
from homespun.checkpoint.special_ids import fitting
from homespun.interop.gguf.config import config_of
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.tokenizer import tokenizer_of
from homespun.interop.gguf.weights import read_weights
from homespun.machine.memory import release_freed_memory

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer


def load_gguf(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[CausalLM, Tokenizer]:
    """The model, in eval mode, and the tokenizer of a GGUF file of the shape of one of our families.

    dtype: None takes the weights as they are stored, quantised ones as float32.
    Raises CheckpointError, TokenizerError, and MissingExtra where quantised weights need a library.
    """
    file = read_gguf(path)
    config = config_of(file)
    tokenizer = fitting(tokenizer_of(file), config.vocab_size, file.path)
    release_freed_memory()  # a large vocabulary leaves hundreds of megabytes, and the weights come on top
    weights = read_weights(file, config, device=device, dtype=dtype)
    return assemble(config, weights, device), tokenizer
