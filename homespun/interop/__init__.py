"""Models from elsewhere: what other tools have written, as an ordinary GPT of ours with its tokenizer.

Read in this order: `gguf_file` (what a GGUF file says of itself, and what is not believed), `gguf_config`
(its settings in our words), `gguf_weights` (its numbers in our layout), `gguf_tokenizer`, `gguf` (all of it
together); then `hub` and `find`: from a name to what is on this disk. The other way out: `gguf_write` and
`gguf_write_tokenizer`, `modelfile`, `origin`, and `export`, which holds what was written against the model
(`probes`, `compare`, `llama_cpp`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.interop.find import find_model
    from homespun.interop.gguf import load_gguf
    from homespun.interop.open import open_model

# Where each name lives. Looked up on first use: to find a file takes no torch.
LIVES_IN = {"find_model": "find", "load_gguf": "gguf", "open_model": "open"}

__all__ = ["find_model", "load_gguf", "open_model"]


def __getattr__(name: str) -> Any:
    if name not in LIVES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LIVES_IN[name]}"), name)
