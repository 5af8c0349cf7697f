"""The logit lens: what the head would say of the residual stream at every layer (nostalgebraist 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from homespun.errors import ModelError, UsageError
from homespun.generation.sequence import check_ids
from homespun.generation.window import window_start
from homespun.insight.probabilities import OTHER_FAMILY, names_of
from homespun.model.causal_lm import CausalLM
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class LogitLens:
    """The likeliest next token at each of L + 1 layers, for S places of a text.

    Row 0 is the embedding, row l the stream behind block l - 1; the last row is what the model says. Intermediate
    layers were never trained to be read: the lens shows where the answer settles.

    places    (S) int64: the places whose token is predicted; the last may be the end of the text
    ids       (L + 1, S) int64: the likeliest token
    logprobs  (L + 1, S) float32, in nats: of it
    tokens    (L + 1) of S each, as a person may read them
    """

    places: NDArray[np.int64]
    ids: NDArray[np.int64]
    logprobs: NDArray[np.float32]
    tokens: tuple[tuple[str, ...], ...]


def logit_lens(
    model: CausalLM, tokenizer: Tokenizer, ids: Sequence[int], place: int, *, places: int = 40
) -> LogitLens:
    """The lens at that place of a text, from 1 to its end, and at the places before it in the same window.

    places: S, at most so many. Raises ModelError for a bigram, UsageError for another place.
    """
    if not isinstance(model, GPT):
        raise ModelError(
            "A bigram has no layers: there is nothing between its input and its output.", OTHER_FAMILY
        )
    check_ids(list(ids), model.config.vocab_size)
    if not 1 <= place <= len(ids):
        raise UsageError(
            f"There is no prediction for place {place} of a text of {len(ids):,} tokens.",
            f"Name one from 1 to {len(ids)}.",
        )
    window = list(ids[window_start(place, model.config.context_length) : place])
    streams = residual_stream(model, window)[:, -places:]  # (L + 1, S, C)
    with torch.inference_mode():
        logits = model.head(model.for_head(streams)).float()  # (L + 1, S, V)
        best = logits.log_softmax(-1)[..., : tokenizer.vocab_size].max(-1)
    count = streams.size(1)
    return LogitLens(
        places=np.arange(place - count + 1, place + 1),
        ids=best.indices.cpu().numpy(),
        logprobs=best.values.cpu().numpy(),
        tokens=tuple(names_of(tokenizer, row) for row in best.indices.tolist()),
    )


@torch.inference_mode()
def residual_stream(model: GPT, ids: Sequence[int]) -> Tensor:
    """ids (T) -> (L + 1, T, C): what the stream holds before each block, and behind the last."""
    found: list[Tensor] = []

    def record(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(inputs[0][0])
        if block is model.blocks[-1]:
            found.append(output[0])

    hooks = [block.register_forward_hook(record) for block in model.blocks]
    try:
        with evaluation_mode(model):
            model.features(torch.tensor([list(ids)], device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found)
