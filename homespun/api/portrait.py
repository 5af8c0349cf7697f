"""The result of `homespun show` as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stored:
    """How a model is stored on disk. types: dtype -> the number of weights that are stored in it."""

    path: Path
    files: int
    bytes: int
    types: dict[str, int]


@dataclass(frozen=True)
class Parameters:
    """embedding: parameters of the token and position embeddings, and of the head if it is not tied."""

    total: int
    embedding: int

    @property
    def without_embedding(self) -> int:
        return self.total - self.embedding


@dataclass(frozen=True)
class Memory:
    """Bytes of memory. weights: for each precision that `generate --weights` takes. cache: the KV cache of one
    sequence of the full context_length, in float32; half of it with rounded weights."""

    weights: dict[str, int]
    cache: int


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the forward pass of one token, a multiply-add counted as two: for the first
    token of a text, which has no context to attend to, and for the last one of a full context."""

    first: int
    last: int


@dataclass(frozen=True)
class Tokens:
    """The tokenizer.

    ends: every token that ends a generated text, end_of_text among them. opening: ids before every text.
    """

    kind: str
    vocab_size: int
    end_of_text: str | None
    special: dict[str, int]
    opening: tuple[int, ...]
    chat_template: bool
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """The origin of the model, as recorded in its folder or file; "" if it is not recorded."""

    name: str = ""
    license: str = ""
    base: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Training:
    """A training run of homespun. The loss is that of the weights in the folder. curve: (tokens, training loss or
    None, validation loss) of each evaluation. missing: what is damaged and could not be read."""

    text: tuple[str, ...]
    minutes: float
    steps: int
    plan: dict[str, Any]
    loss: float | None = None
    bits_per_char: float | None = None
    bits_per_byte: float | None = None
    seconds: float | None = None
    tokens: int | None = None
    curve: tuple[tuple[int, float | None, float], ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Adapter:
    """An adapter: changes to a model stored elsewhere. modules: last names of the matrices that it changes."""

    base: str
    rank: int
    alpha: float
    modules: tuple[str, ...]
    parameters: int
    base_is_here: bool


@dataclass(frozen=True)
class Portrait:
    """The whole description. shape: the model's config in our names; None for an adapter without its base."""

    model: str
    kind: str  # "run", "folder", "file", "adapter"
    stored: Stored
    family: str
    shape: dict[str, Any] | None
    parameters: Parameters | None
    memory: Memory | None
    flops: Flops | None
    tokenizer: Tokens | None
    origin: Origin
    training: Training | None = None
    adapter: Adapter | None = None
    notes: tuple[str, ...] = ()
