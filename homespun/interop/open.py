"""Whatever a person calls a model, opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from homespun.checkpoint.adapter import is_adapter
from homespun.checkpoint.folder import load_config, load_model
from homespun.checkpoint.place import model_folder
from homespun.checkpoint.special_ids import fitting, load_tokenizer
from homespun.errors import CheckpointError
from homespun.interop.adapter import open_adapter
from homespun.interop.find import find_model
from homespun.interop.gguf.config import config_of
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.gguf.tokenizer import tokenizer_of

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.model.config import ModelConfig
    from homespun.tokenizer.tokenizer import Tokenizer


def open_model(
    model: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[CausalLM, Tokenizer, Path]:
    """The model, its tokenizer, and where they lie: a model folder, the folder of an adapter, or a .gguf file.

    model: one of these, a hub id (`org/name`, `org/name@revision`), or the name of a known small model.
    Raises CheckpointError, TokenizerError, DownloadFailed, MissingExtra.
    """
    place = find_model(model)
    opened, tokenizer = loader_of(place)(place, device=device, dtype=dtype)
    return opened, tokenizer, place


def look_into(place: Path) -> tuple[ModelConfig, Tokenizer]:
    """The shape of the model that lies there, and its tokenizer; no weights are read.

    Raises CheckpointError, TokenizerError; of an adapter, too, which has no shape of its own.
    """
    if place.is_file() and place.suffix.lower() == ".gguf":
        file = read_gguf(place)
        config: ModelConfig = config_of(file)
        return config, fitting(tokenizer_of(file), config.vocab_size, place)
    if is_adapter(place):
        raise CheckpointError(
            f"{place} is an adapter already: changes to a model, without the model.",
            f"Make a whole model of it first:  homespun export {place} --to merged",
        )
    config = load_config(place)
    return config, load_tokenizer(model_folder(place), config)


def loader_of(place: Path) -> Callable[..., tuple[CausalLM, Tokenizer]]:
    """What opens what lies there."""
    if is_adapter(place):
        return open_adapter
    return load_gguf if place.is_file() and place.suffix.lower() == ".gguf" else load_model
