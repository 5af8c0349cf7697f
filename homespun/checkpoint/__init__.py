"""The model folder on disk: a Hugging Face folder, written whole or not at all, read with suspicion.

The ladder: `atomic` writes files, `tensors` writes and reads numbers, `fields` reads settings,
`hf_names` translates, `place` looks at a path, `weights` holds the numbers against the config,
and `folder` puts them together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.checkpoint.atomic import replacing, write_atomically, write_json
    from homespun.checkpoint.fields import read_json
    from homespun.checkpoint.folder import load_config, load_model, load_weights, save_model
    from homespun.checkpoint.hf_names import only_here
    from homespun.checkpoint.tensors import read_header, read_tensors, write_tensors

# Where each name lives. Looked up on first use: to write a text file takes no torch.
LIVES_IN = {
    "load_config": "folder",
    "load_model": "folder",
    "load_weights": "folder",
    "only_here": "hf_names",
    "read_header": "tensors",
    "read_json": "fields",
    "read_tensors": "tensors",
    "replacing": "atomic",
    "save_model": "folder",
    "write_atomically": "atomic",
    "write_json": "atomic",
    "write_tensors": "tensors",
}

__all__ = [
    "load_config",
    "load_model",
    "load_weights",
    "only_here",
    "read_header",
    "read_json",
    "read_tensors",
    "replacing",
    "save_model",
    "write_atomically",
    "write_json",
    "write_tensors",
]


def __getattr__(name: str) -> Any:
    if name not in LIVES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LIVES_IN[name]}"), name)
