"""What `homespun show` knows of a model, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Stored:
    """How a model lies on the disk. types: kind of number -> how many of the weights are stored so."""

    path: Path
    files: int
    bytes: int
    types: dict[str, int]


@dataclass(frozen=True)
class Parameters:
    """embedding: the tables of tokens and of positions, and the head where it is a table of its own."""

    total: int
    embedding: int

    @property
    def without_embedding(self) -> int:
        return self.total - self.embedding


@dataclass(frozen=True)
class Memory:
    """In bytes. weights: by the kinds that `generate --weights` takes. cache: keys and values of one text of the
    full context_length, in float32; half of it beside rounded weights."""

    weights: dict[str, int]
    cache: int


@dataclass(frozen=True)
class Flops:
    """Floating-point operations for one token forward, a multiply-and-add counted as two: at the beginning of a
    text, where there is nothing to look back at, and at the end of a full context."""

    first: int
    last: int


@dataclass(frozen=True)
class Tokens:
    """The tokenizer. opening: ids that it puts before every text."""

    kind: str
    vocab_size: int
    end_of_text: str | None
    special: dict[str, int]
    opening: tuple[int, ...]
    chat_template: bool


@dataclass(frozen=True)
class Origin:
    """What the folder or file says of where the model comes from; "" where it says nothing."""

    name: str = ""
    license: str = ""
    base: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Training:
    """A run of ours. The loss is that of the weights in the folder. curve: (tokens read, training loss or None,
    validation loss) of each evaluation. missing: what is damaged and could not be read."""

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
    """Small changes to a model that lies elsewhere. modules: the matrices that change, by their last names."""

    base: str
    rank: int
    alpha: float
    modules: tuple[str, ...]
    parameters: int
    base_is_here: bool


@dataclass(frozen=True)
class Portrait:
    """All of it. shape: the model's config by our names; None for an adapter whose base is not here."""

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
