"""Two models on the same texts: how far apart what they expect is, and what the difference costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from homespun.model.causal_lm import CausalLM
from homespun.tokenizer.tokenizer import Tokenizer

LONGEST_WINDOW = 256  # tokens that are computed at a time
LIKELY = math.log(0.01)  # differences are looked for among tokens that are at least so likely


@dataclass(frozen=True)
class Text:
    """A text to compare on: its ids, without what is put before a text, and its size."""

    ids: list[int]
    bytes: int


@dataclass
class Difference:
    """How far a model is from the original.

    positions      tokens that were predicted
    largest        the largest difference of a log-probability, among the likeliest tokens and those of 1% and more
    same_choice    at how many positions both find the same token the likeliest
    divergence     Kullback-Leibler, in nats a token: what one loses who expects the one and gets the other
    """

    positions: int = 0
    largest: float = 0.0
    same_choice: int = 0
    divergence: float = 0.0


@dataclass
class Cost:
    """What the texts cost before and after, in nats a token and in bits a byte of the text."""

    tokens: int = 0
    bytes: int = 0
    before: float = 0.0  # in all
    after: float = 0.0

    def loss(self, nats: float) -> float:
        return nats / max(1, self.tokens)

    def bits_per_byte(self, nats: float) -> float:
        return nats / math.log(2) / max(1, self.bytes)


def text_of(tokenizer: Tokenizer, text: str) -> Text:
    return Text(tokenizer.encode(text), len(text.encode("utf-8")))


def compared(
    original: CausalLM, other: CausalLM, texts: Sequence[Text], opening: Sequence[int]
) -> tuple[Difference, Cost]:
    """Both models on all of these texts, in windows that do not overlap. opening: ids before every text."""
    difference, cost = Difference(), Cost()
    for text in texts:
        first = cost.tokens
        for ids in windows(text.ids, opening, original.config.context_length):
            before, after = log_probabilities(original, ids), log_probabilities(other, ids)
            add(difference, before, after)
            targets = torch.tensor(ids[1:], dtype=torch.long)[:, None]
            cost.tokens += len(targets)
            cost.before -= float(before[:-1].gather(1, targets).double().sum())
            cost.after -= float(after[:-1].gather(1, targets).double().sum())
        # The first token of a window is not predicted, and its bytes are not counted either.
        cost.bytes += round(text.bytes * (cost.tokens - first) / len(text.ids))
    difference.divergence /= max(1, difference.positions)
    return difference, cost


def windows(ids: Sequence[int], opening: Sequence[int], context_length: int) -> Iterator[list[int]]:
    size = min(context_length, LONGEST_WINDOW) - len(opening)
    for start in range(0, len(ids), max(1, size)):
        yield [*opening, *ids[start : start + max(1, size)]]


@torch.no_grad()
def log_probabilities(model: CausalLM, ids: Sequence[int]) -> Tensor:
    """ids of length T -> (T, V) in float32."""
    logits, _ = model(torch.tensor([list(ids)]))
    return torch.log_softmax(logits[0].float(), dim=-1)


def add(difference: Difference, before: Tensor, after: Tensor) -> None:
    likely = before >= before.max(-1, keepdim=True).values.clamp(max=LIKELY)
    gaps = (before - after).abs()[likely]
    difference.positions += len(before)
    difference.largest = max(difference.largest, float(gaps.nan_to_num(math.inf, math.inf).max()))
    difference.same_choice += int((before.argmax(-1) == after.argmax(-1)).sum())
    difference.divergence += float(torch.nn.functional.kl_div(after, before, reduction="sum", log_target=True))


def compared_with_candidates(
    original: CausalLM, sequences: Sequence[Sequence[int]], candidates: Sequence[Sequence[dict[int, float]]]
) -> Difference:
    """What another program expects after each id of these sequences, its likeliest tokens, beside the original."""
    difference = Difference()
    for ids, expected in zip(sequences, candidates, strict=True):
        before = log_probabilities(original, ids)
        after = torch.full_like(before, -math.inf)
        for row, found in zip(after, expected, strict=True):
            row[list(found)] = torch.tensor(list(found.values()), dtype=row.dtype)
        # What it did not name is unlikely there; where it is likely here, that is a difference without end.
        unlikely = before < before.max(-1, keepdim=True).values.clamp(max=LIKELY)
        after = torch.where(after.isinf() & unlikely, before, after)
        add(difference, before, after)
    difference.divergence /= max(1, difference.positions)
    return difference


@torch.no_grad()
def rarest_token(model: CausalLM, texts: Sequence[Text], opening: Sequence[int], below: int) -> tuple[int, float]:
    """The token that the model expects least on these texts, and how likely it finds it on average."""
    total, positions = torch.zeros(below), 0
    for text in texts:
        for ids in windows(text.ids, opening, model.config.context_length):
            expected = log_probabilities(model, ids)[:, :below].exp()
            total += expected.sum(0)
            positions += len(expected)
    rarest = int(total.argmin())
    return rarest, float(total[rarest]) / max(1, positions)
