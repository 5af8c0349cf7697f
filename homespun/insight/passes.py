"""What the functions of this room share: the windows of a text, its characters, and forward passes over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import ModelError, UsageError
from homespun.generation.sequence import check_ids
from homespun.insight.probabilities import OTHER_FAMILY
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

TOKENS_AT_ONCE = 4096  # of a batch of windows; more make a CPU no faster
LOGITS_AT_ONCE = 2**23  # numbers
BEFORE, AFTER = 40, 12  # characters of an excerpt


@dataclass(frozen=True)
class Characters:
    """A text of T tokens in characters.

    text  the characters
    ends  (T) int64: how many characters are complete behind each token. Those of token i are
          text[ends[i - 1] : ends[i]]; a token that is a part of a character has none of its own
    """

    text: str
    ends: NDArray[np.int64]

    def span(self, at: int) -> tuple[int, int]:
        """The characters of a token: from, and up to."""
        return (int(self.ends[at - 1]) if at else 0), int(self.ends[at])


def characters_of(tokenizer: Tokenizer, ids: Sequence[int] | NDArray[np.int64]) -> Characters:
    """The characters of these ids, as decoding them one by one gives them."""
    stream = tokenizer.stream()
    pieces: list[str] = []
    ends = np.empty(len(ids), np.int64)
    reached = 0
    for at, id in enumerate(ids):
        piece = stream.push(int(id))
        pieces.append(piece)
        reached += len(piece)
        ends[at] = reached
    rest = stream.flush()
    if len(ids) and rest:
        ends[-1] += len(rest)
    return Characters("".join(pieces) + rest, ends)


def excerpt(characters: Characters, place: int) -> tuple[str, tuple[int, int]]:
    """The text around a token, and from where to where the token is in it."""
    begin, end = characters.span(place)
    first = max(0, begin - BEFORE)
    return characters.text[first : end + AFTER], (begin - first, end - first)


def check_gpt(model: CausalLM, lacks: str) -> GPT:
    """The model, where it is one with layers. lacks: what a bigram lacks. Raises ModelError."""
    if not isinstance(model, GPT):
        raise ModelError(f"A bigram has no {lacks}: it is one table of logits.", OTHER_FAMILY)
    return model


def ids_of(
    model: CausalLM, tokenizer: Tokenizer, text: str | Sequence[int] | NDArray[np.int64], most: int | None = None
) -> NDArray[np.int64]:
    """A text, which is a string or ids, as int64 (T), the first `most` of it.

    Raises UnknownCharacter, ModelError for ids that the model lacks, and UsageError for fewer than two tokens.
    """
    ids = tokenizer.encode_array(text) if isinstance(text, str) else np.asarray(text)
    found = ids[:most].astype(np.int64)
    if len(found) < 2:
        raise UsageError(
            f"Nothing is predicted in a text of {len(found)} token{'' if len(found) == 1 else 's'}.",
            "Give a text of two tokens or more; a few thousand tell more.",
        )
    check_ids(found.tolist(), min(model.config.vocab_size, tokenizer.vocab_size))
    return found


def check_head(model: GPT, layer: int, head: int) -> None:
    """Raises UsageError where the model has no such head."""
    layers, heads = model.config.n_layer, model.config.n_head
    if not (0 <= layer < layers and 0 <= head < heads):
        raise UsageError(
            f"There is no head {head} in layer {layer}: the model has {layers} layers of {heads} heads.",
            f"Layers are numbered from 0 to {layers - 1}, heads from 0 to {heads - 1}.",
        )


def batches(ids: NDArray[np.int64], length: int, vocab_size: int = 1) -> Iterator[tuple[int, Tensor]]:
    """The text in windows of `length` tokens that don't overlap: where each batch begins, and (B, length) ids.

    The last window, which may be shorter, is a batch of its own.
    """
    at_once = max(1, min(TOKENS_AT_ONCE // length, LOGITS_AT_ONCE // (length * vocab_size)))
    whole = len(ids) // length
    for first in range(0, whole, at_once):
        rows = min(at_once, whole - first)
        start = first * length
        yield start, torch.from_numpy(ids[start : start + rows * length].reshape(rows, length))
    if len(ids) % length:
        start = whole * length
        yield start, torch.from_numpy(ids[start:][None])


def surprises(logits: Tensor, targets: Tensor) -> Tensor:
    """logits (B, T, V), targets (B, T) -> minus the log-probability of each target, (B * T), in nats."""
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten().to(logits.device), reduction="none"
    ).cpu()
