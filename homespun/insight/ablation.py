"""Heads switched off, and what the loss is without them (ablation).

The output of a head, before the attention's output projection, is replaced by zeros or by its mean over the text.
The mean is the gentler one: it takes away what the head says about the place, and leaves what it says everywhere.
The model itself is never changed: `HeadsOff` is a context that one forward pass is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from homespun.errors import UsageError
from homespun.insight.passes import batches, check_gpt, check_head, ids_of, surprises
from homespun.insight.probabilities import names_of
from homespun.model.causal_lm import CausalLM
from homespun.model.context import Causal
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

Head = tuple[int, int]  # layer, head
Replacement = Literal["zero", "mean"]
REPLACEMENTS = ("zero", "mean")
MOST_TOKENS = 8_192


class HeadsOff(Causal):
    """A causal context in which the outputs of some heads are replaced.

    heads  (layer, head) -> what stands instead of its output at each place: (D), or 0.0
    """

    def __init__(self, heads: Mapping[Head, Tensor | float]) -> None:
        super().__init__()
        self.heads = heads

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        out = super().attend(layer, q, k, v, scale, window=window, dropout=dropout)  # (B, T, H, D)
        mine = {head: output for (own, head), output in self.heads.items() if own == layer}
        if not mine:
            return out
        out = out.clone()
        for head, output in mine.items():
            out[:, :, head] = output
        return out


class Averaging(Causal):
    """A causal context that adds up the outputs of all heads. sums: of each layer (H, D), float64."""

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[int, Tensor] = {}

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        out = super().attend(layer, q, k, v, scale, window=window, dropout=dropout)  # (B, T, H, D)
        self.sums[layer] = self.sums.get(layer, 0.0) + out.double().sum((0, 1))
        return out


@dataclass(frozen=True)
class SwitchedOff:
    """The loss of a model on a text of T tokens, with all its heads and without some of them.

    heads        that were switched off: (layer, head)
    replacement  what their outputs were replaced by: "zero" or "mean"
    loss         nats per token, over T - 1 predictions; without: of the model without the heads
    tokens       (T) as a person may read them
    surprises    (T) float32: minus the log-probability of each token, in nats; not a number for the first one
    surprises_without (T) float32
    """

    heads: tuple[Head, ...]
    replacement: str
    loss: float
    without: float
    tokens: tuple[str, ...]
    surprises: NDArray[np.float32]
    surprises_without: NDArray[np.float32]

    @property
    def change(self) -> float:
        """By how much the loss rises, in nats per token."""
        return self.without - self.loss

    def as_object(self) -> dict[str, Any]:
        """The losses as JSON, and those of every token."""
        return {
            "heads": [list(head) for head in self.heads],
            "replacement": self.replacement,
            "loss": self.loss,
            "without": self.without,
            "change": self.change,
            "tokens": list(self.tokens),
            "surprises": [None, *self.surprises[1:].tolist()],
            "surprises_without": [None, *self.surprises_without[1:].tolist()],
        }


@dataclass(frozen=True)
class HeadAblations:
    """The loss without each of H heads in each of L layers, one at a time.

    loss         nats per token, with all heads, over `tokens` predictions
    without      (L, H) float64: the loss without that head
    replacement  what the output of a head was replaced by: "zero" or "mean"
    error        (L, H) float64: the standard error of the change, from the differences at all predictions
    """

    loss: float
    without: NDArray[np.float64]
    replacement: str
    tokens: int
    error: NDArray[np.float64]

    @property
    def change(self) -> NDArray[np.float64]:
        """(L, H): by how much the loss rises without each head, in nats per token."""
        return self.without - self.loss

    def as_object(self) -> dict[str, Any]:
        """The table as JSON."""
        return {
            "loss": self.loss,
            "replacement": self.replacement,
            "tokens": self.tokens,
            "without": self.without.tolist(),
            "change": self.change.tolist(),
            "error": self.error.tolist(),
        }


@torch.inference_mode()
def switch_off(
    model: CausalLM,
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[np.int64],
    heads: Collection[Head],
    *,
    replacement: Replacement = "zero",
    most_tokens: int = MOST_TOKENS,
) -> SwitchedOff:
    """The loss with and without any set of heads, on the first most_tokens of a text: a string or ids.

    The text is cut into windows of context_length that do not overlap, as for every other loss.
    Raises ModelError for a bigram, UsageError for heads that the model does not have and for a short text.
    """
    model = check_gpt(model, "heads")
    for layer, head in heads:
        check_head(model, layer, head)
    ids = ids_of(model, tokenizer, text, most_tokens)
    with evaluation_mode(model):
        outputs = instead_of(model, ids, heads, replacement)
        before = text_surprises(model, ids, Causal)
        after = text_surprises(model, ids, lambda: HeadsOff(outputs))
    return SwitchedOff(
        heads=tuple(sorted(heads)),
        replacement=replacement,
        loss=float(before[1:].astype(np.float64).mean()),
        without=float(after[1:].astype(np.float64).mean()),
        tokens=names_of(tokenizer, ids.tolist()),
        surprises=before,
        surprises_without=after,
    )


@torch.inference_mode()
def head_ablations(
    model: CausalLM,
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[np.int64],
    *,
    replacement: Replacement = "zero",
    most_tokens: int = MOST_TOKENS,
) -> HeadAblations:
    """The loss without each head in turn, on the first most_tokens of a text: a string or ids.

    The residual stream before a block does not depend on the heads in it and behind it. So it is computed once,
    and only the blocks from the head's own on are computed again.
    Raises ModelError for a bigram, UsageError for a text of less than two tokens.
    """
    model = check_gpt(model, "heads")
    ids = ids_of(model, tokenizer, text, most_tokens)
    config = model.config
    every = [(layer, head) for layer in range(config.n_layer) for head in range(config.n_head)]
    total = 0.0
    sums, squares = np.zeros((config.n_layer, config.n_head)), np.zeros((config.n_layer, config.n_head))
    with evaluation_mode(model):
        outputs = instead_of(model, ids, every, replacement)
        for _, inputs, targets in predicted(ids, config.context_length, config.vocab_size):
            context = Causal()
            with streams(model) as before:
                full = surprises(model.head(model.features(inputs.to(model.device), context)), targets)
            total += float(full.double().sum())
            for layer, head in every:
                off = HeadsOff({(layer, head): outputs[layer, head]})
                off.ropes = context.ropes
                x = before[layer]
                for block in model.blocks[layer:]:
                    x = block(x, off)
                change = (surprises(model.head(model.for_head(x)), targets) - full).double()
                sums[layer, head] += float(change.sum())
                squares[layer, head] += float(change.square().sum())
    tokens = len(ids) - 1
    mean = sums / tokens
    variance = np.maximum(squares / tokens - mean**2, 0.0)
    return HeadAblations(
        loss=total / tokens,
        without=total / tokens + mean,
        replacement=replacement,
        tokens=tokens,
        error=np.sqrt(variance / tokens),
    )


def instead_of(
    model: GPT, ids: NDArray[np.int64], heads: Collection[Head], replacement: str
) -> dict[Head, Tensor | float]:
    """What replaces the output of each head. Raises UsageError for another word."""
    if replacement not in REPLACEMENTS:
        raise UsageError(
            f"replacement is {replacement!r}.",
            "A head's output is replaced by: " + " or ".join(REPLACEMENTS) + ".",
        )
    if replacement == "zero":
        return dict.fromkeys(heads, 0.0)
    context = Averaging()
    for _, inputs, _ in predicted(ids, model.config.context_length, 1):
        model.features(inputs.to(model.device), context)
    return {(layer, head): (context.sums[layer][head] / (len(ids) - 1)).float() for layer, head in heads}


def text_surprises(model: GPT, ids: NDArray[np.int64], context: type[Causal] | Any) -> NDArray[np.float32]:
    """(T) nats: minus the log-probability of each token; not a number for the first. context: makes one."""
    found = np.full(len(ids), np.nan, np.float32)
    for start, inputs, targets in predicted(ids, model.config.context_length, model.config.vocab_size):
        logits, _ = model(inputs.to(model.device), context=context())
        own = surprises(logits, targets)
        found[start + 1 : start + 1 + len(own)] = own.numpy()
    return found


def predicted(ids: NDArray[np.int64], length: int, vocab_size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Where each batch of windows begins, its inputs (B, T), and the tokens (B, T) that follow them."""
    following = torch.from_numpy(ids)
    for start, inputs in batches(ids[:-1], length, vocab_size):
        yield start, inputs, following[start + 1 : start + 1 + inputs.numel()].view_as(inputs)


@contextmanager
def streams(model: GPT) -> Iterator[list[Tensor]]:
    """Within it, a forward pass leaves the residual stream (B, T, C) before each block in the list."""
    found: list[Tensor] = []
    hooks = [
        block.register_forward_pre_hook(lambda block, inputs: found.append(inputs[0])) for block in model.blocks
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
