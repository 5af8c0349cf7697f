"""One tensor of a GGUF file."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homespun.errors import CheckpointError
from homespun.interop.gguf.blocks import floats
from homespun.interop.gguf.file import GGUFFile, GGUFTensor

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_tensor(file: GGUFFile, tensor: GGUFTensor) -> Tensor:
    """One tensor, in the file's order of rows: as it is stored, or as float32 where that is in blocks."""
    # Read and not mapped: a file that is cut short meanwhile is an error then, and no crash.
    stored = np.fromfile(file.path, np.uint8, tensor.bytes, offset=tensor.start)
    if stored.size < tensor.bytes:
        raise CheckpointError(f"{file.path} became shorter while it was read.", "Try again.")
    if tensor.type in PLAIN:
        return torch.from_numpy(stored).view(PLAIN[tensor.type]).view(tensor.shape)
    return floats(torch.from_numpy(stored).view(*tensor.shape[:-1], -1), tensor.type)
