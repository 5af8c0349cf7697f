"""A model's weights as a page keeps them: safetensors, with int8 matrices and a scale for each row, or float16."""

from __future__ import annotations

import numpy as np
import safetensors
import safetensors.numpy
import torch
from numpy.typing import NDArray

from homespun.errors import CheckpointError
from homespun.model.causal_lm import CausalLM
from homespun.model.config import ModelConfig
from homespun.model.gpt import build

PRECISIONS = ("int8", "f16")
SCALE = ".scale"
SMALLEST_SCALE = 1e-30  # of a row of zeros, which has none
HEAD, EMBEDDING, POSITIONS = "head.weight", "token_embedding.weight", "position_embedding.weight"


def packed(model: CausalLM, precision: str, positions: int) -> bytes:
    """The file's bytes. precision: one of PRECISIONS. positions: how many rows of a table of positions are kept.

    Vectors (norms, biases) stay in float32. A tied head is written once, as the embedding. Raises CheckpointError.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, tensor in model.state_dict().items():
        values = tensor.detach().float().cpu().numpy()
        if name == HEAD and model.config.tied_head:
            continue
        if name == POSITIONS:
            values = values[:positions]
        if not np.isfinite(values).all():
            raise CheckpointError(f"The weights {name} are not all numbers.", "Take an earlier copy of the model.")
        if values.ndim < 2:
            tensors[name] = values
        elif precision == "int8":
            tensors[name], tensors[name + SCALE] = in_int8(values)
        else:
            tensors[name] = in_float16(name, values)
    return safetensors.numpy.save(tensors)


def in_int8(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """matrix (rows, columns) -> whole numbers from -127 to 127 of that shape, and what 1 is worth in each row.

    >>> units, scale = in_int8(np.array([[1.0, 0.25, -0.5]], dtype=np.float32))
    >>> units.tolist()
    [[127, 32, -64]]
    """
    scale = (np.abs(matrix).max(axis=1) / 127).astype(np.float32)
    units = np.rint(matrix / np.maximum(scale, SMALLEST_SCALE)[:, None])
    return np.clip(units, -127, 127).astype(np.int8), scale


def in_float16(name: str, matrix: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = matrix.astype(np.float16)
    if not np.isfinite(half).all():
        raise CheckpointError(
            f"The weights {name} reach {np.abs(matrix).max():.3g}, and float16 ends at 65,504.",
            "Export in int8, whose rows have a scale of their own: --quantize int8.",
        )
    return half


def unpacked(file: bytes, config: ModelConfig) -> CausalLM:
    """The model of that config with the weights of such a file, in float32. Raises CheckpointError."""
    try:
        tensors = safetensors.numpy.load(file)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"The weights in the page cannot be read: {error}.", "Export it again.") from error
    values = {
        name: tensor.astype(np.float32) * tensors[name + SCALE][:, None] if tensor.dtype == np.int8 else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }
    if config.tied_head:
        values[HEAD] = values[EMBEDDING]
    model = build(config)
    model.load_state_dict({name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()})
    return model.eval()
