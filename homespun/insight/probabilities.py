"""What a model had in mind: how likely it found each token of a text, and what it looked at.

Numbers with the tokens that they belong to, taken from the model's own forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from homespun.errors import ModelError, UsageError
from homespun.generation.sequence import check_ids
from homespun.generation.window import window_start
from homespun.model.causal_lm import CausalLM
from homespun.model.context import Causal, Recording
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

ROWS_AT_ONCE = 256  # logits of so many places are held at a time
OTHER_FAMILY = "Take a model of another family: modern, gpt2, llama or lecture."  # the way on for a bigram


@dataclass(frozen=True)
class TokenProbabilities:
    """A text of T tokens, and what the model expected at each place of it but the first, which nothing precedes.
    Logarithms are in nats.

    ids           (T) int64
    tokens        (T) as a person may read them: ' boy', '\\\\n'
    logprobs      (T) float32: of the token that stands there; not a number for the first one
    ranks         (T) int64: how many tokens were likelier, 0 where it was the likeliest; -1 for the first one
    entropies     (T) float32: how open it was what comes there: 0 where the model was sure
    best_ids      (T, K) int64: the K likeliest tokens at that place, the likeliest first; -1 for the first one
    best_logprobs (T, K) float32
    best_tokens   (T) of K each; none for the first one
    """

    ids: NDArray[np.int64]
    tokens: tuple[str, ...]
    logprobs: NDArray[np.float32]
    ranks: NDArray[np.int64]
    entropies: NDArray[np.float32]
    best_ids: NDArray[np.int64]
    best_logprobs: NDArray[np.float32]
    best_tokens: tuple[tuple[str, ...], ...]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(T) from 0 to 1; not a number for the first one."""
        return np.exp(self.logprobs)

    def as_objects(self) -> list[dict[str, Any]]:
        """One object of JSON for every token."""
        best = [
            [
                {"token": token, "id": int(id), "logprob": float(logprob)}
                for token, id, logprob in zip(tokens, ids, logprobs, strict=False)
            ]
            for tokens, ids, logprobs in zip(self.best_tokens, self.best_ids, self.best_logprobs, strict=True)
        ]
        return [
            {
                "id": int(self.ids[at]),
                "token": self.tokens[at],
                "logprob": float(self.logprobs[at]),
                "likelier": None if at == 0 else int(self.ranks[at]),
                "alternatives": best[at],
            }
            for at in range(len(self.ids))
        ]


@dataclass(frozen=True)
class Look:
    """What the model looked at when it chose a token: the attention of the token before it.

    place     the token's place in the text, from 0
    token     as a person may read it
    seen      (S) the places that could be looked at: those in the window, up to the token before
    tokens    (S) what stands there
    weights   (L, H, S) float32: how much each of H heads in each of L layers looked there; each row adds up to 1
    """

    place: int
    token: str
    seen: NDArray[np.int64]
    tokens: tuple[str, ...]
    weights: NDArray[np.float32]

    @property
    def by_layer(self) -> NDArray[np.float32]:
        """(L, S): averaged over the heads."""
        return np.asarray(self.weights.mean(axis=1))

    @property
    def overall(self) -> NDArray[np.float32]:
        """(S): averaged over heads and layers."""
        return np.asarray(self.weights.mean(axis=(0, 1)))

    def as_object(self) -> dict[str, Any]:
        """The attention as JSON; tokens are numbered from 1."""
        seen = [
            {"number": int(at) + 1, "token": token, "share": float(share)}
            for at, token, share in zip(self.seen, self.tokens, self.overall, strict=True)
        ]
        return {
            "number": self.place + 1,
            "token": self.token,
            "looked_at": seen,
            "by_layer": self.by_layer.tolist(),
        }


def token_probabilities(
    model: CausalLM, tokenizer: Tokenizer, text: str | Sequence[int], *, alternatives: int = 5
) -> TokenProbabilities:
    """What the model expected at each place of a text, which is a string or ids.

    Each token is predicted from what the model would have seen had it written the text (`window`). alternatives:
    K, how many of the likeliest tokens are reported at each place; at most as many as there are.
    Raises UnknownCharacter, ModelError for an empty text and for ids that the model does not have.
    """
    ids = tokenizer.encode(text) if isinstance(text, str) else list(text)
    check_ids(ids, model.config.vocab_size)
    if alternatives < 1:
        raise UsageError(f"alternatives is {alternatives!r}.", "It is the number of tokens reported: 1 or more.")
    count, best = len(ids), min(alternatives, tokenizer.vocab_size)
    logprobs, entropies = torch.full((count,), float("nan")), torch.full((count,), float("nan"))
    ranks = torch.full((count,), -1)
    best_ids, best_logprobs = torch.full((count, best), -1), torch.full((count, best), float("nan"))
    for places, expected in predictions(model, ids):
        came = torch.tensor([ids[place] for place in places])[:, None]  # (N, 1)
        own = expected.gather(1, came)  # (N, 1)
        part = slice(places.start, places.stop)
        logprobs[part] = own[:, 0]
        ranks[part] = (expected > own).sum(dim=1)
        entropies[part] = -(expected.exp() * expected.clamp(min=-1e9)).sum(dim=1)
        # A model may have more ids than its tokenizer, for the sake of a round number: nobody can read those.
        best_logprobs[part], best_ids[part] = expected[:, : tokenizer.vocab_size].topk(best)
    return TokenProbabilities(
        ids=np.array(ids, dtype=np.int64),
        tokens=names_of(tokenizer, ids),
        logprobs=logprobs.numpy(),
        ranks=ranks.numpy(),
        entropies=entropies.numpy(),
        best_ids=best_ids.numpy(),
        best_logprobs=best_logprobs.numpy(),
        best_tokens=((), *(names_of(tokenizer, row) for row in best_ids[1:].tolist())),
    )


def predictions(model: CausalLM, ids: Sequence[int]) -> Iterator[tuple[range, Tensor]]:
    """Places of a text, and the log-probabilities (N, V) of all that could stand there, in float32 on the CPU.

    One pass for all places that are predicted from windows with the same beginning.
    """
    length, first = model.config.context_length, 1
    while first < len(ids):
        start = window_start(first, length)
        end = first  # one more than the last token that is seen
        while end < len(ids) - 1 and window_start(end + 1, length) == start:
            end += 1
        for part in range(first, end + 1, ROWS_AT_ONCE):
            places = range(part, min(part + ROWS_AT_ONCE, end + 1))
            yield places, log_probabilities(model, ids[start : places[-1]], len(places))
        first = end + 1


@torch.inference_mode()
def log_probabilities(model: CausalLM, ids: Sequence[int], last: int) -> Tensor:
    """(last, V): what follows each of the last so many ids."""
    with evaluation_mode(model):
        logits = model(torch.tensor([ids], device=model.device))[0]  # (1, T, V)
    return F.log_softmax(logits[0, -last:].float().cpu(), dim=-1)


def attention_of(model: CausalLM, ids: Sequence[int]) -> Tensor:
    """ids (T) -> (L, H, T, T), float32: how much each token looked at each, in every head of every layer.

    Each row adds up to one, and no position attends to a later one. Four bytes for each of these numbers.
    Raises ModelError for a bigram, and for no or more than context_length ids.
    """
    return attention(model, ids, len(ids))


def looked_at(model: CausalLM, tokenizer: Tokenizer, ids: Sequence[int], place: int) -> Look:
    """What the model looked at when it chose the token at that place of a text, from 1 on.

    Raises ModelError for a bigram, UsageError where nothing stands there or nothing stands before it.
    """
    check_ids(list(ids), model.config.vocab_size)
    if not 1 <= place < len(ids):
        raise UsageError(
            f"There is nothing to tell about place {place} of a text of {len(ids):,} tokens.",
            f"Name one from 1 to {len(ids) - 1}: the first token has nothing before it that could be looked at.",
        )
    start = window_start(place, model.config.context_length)
    seen = ids[start:place]
    weights = attention(model, seen, 1)[:, :, 0]  # (L, H, S)
    return Look(
        place, tokenizer.token(ids[place]), np.arange(start, place), names_of(tokenizer, seen), weights.numpy()
    )


@torch.inference_mode()
def attention(model: CausalLM, ids: Sequence[int], queries: int) -> Tensor:
    """(L, H, queries, T): that of the last so many tokens."""
    if not isinstance(model, GPT):
        raise ModelError("A bigram has no attention: its prediction depends on the last token only.", OTHER_FAMILY)
    check_ids(list(ids), model.config.vocab_size)
    context = Recording(Causal(), queries)
    with evaluation_mode(model):
        model.features(torch.tensor([ids], device=model.device), context)
    return torch.stack([weights[0] for weights in context.weights])


def names_of(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(tokenizer.token(id) for id in ids)
