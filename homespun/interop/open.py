"""Whatever a person calls a model, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from homespun.checkpoint import load_model
from homespun.interop.find import find_model
from homespun.interop.gguf import load_gguf

if TYPE_CHECKING:
    from homespun.model import GPT, Bigram
    from homespun.tokenizer import Tokenizer


def open_model(
    model: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[GPT | Bigram, Tokenizer, Path]:
    """The model, its tokenizer, and where they lie: a model folder or a .gguf file.

    model: one of these, a hub id (`org/name`, `org/name@revision`), or the name of a known small model.
    Raises CheckpointError, TokenizerError, DownloadFailed, MissingExtra.
    """
    place = find_model(model)
    load = load_gguf if place.is_file() and place.suffix.lower() == ".gguf" else load_model
    opened, tokenizer = load(place, device=device, dtype=dtype)
    return opened, tokenizer, place
