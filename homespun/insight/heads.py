"""What each head of a model does, measured on a text: how much of its attention goes where a role says.

A role is a rule for where a head attends: to the previous token, to the beginning of the word, … A score is the
mean share of the attention, from 0 to 1, that goes to the places which the rule names. Beside it stands what the
same places would get by chance (uniform attention over all visible places), and what they would get from a head
that attends to the same distances whatever the text says: a score above both is about the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from homespun.insight.head_rules import BACK, BY_THE_TEXT, INDUCTION, ROLES, Rules
from homespun.insight.passes import Characters, characters_of, check_gpt, excerpt, ids_of
from homespun.insight.probabilities import names_of
from homespun.model.causal_lm import CausalLM
from homespun.model.context import Causal
from homespun.model.dot_product import attention_weights
from homespun.model.gpt import GPT
from homespun.model.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.tokenizer.tokenizer import Tokenizer

MOST_TOKENS = 8_192
MOST_BACK = 16  # the largest k of "k tokens back"
REPEATED_STRINGS = 8  # random strings, each with a repetition, for induction
CLEAR = 0.1  # a role is named where its score is so far above what is expected without it
SKIPPED = 8  # the first places of a window: few tokens are visible there, and every weight is large


@dataclass(frozen=True)
class Surest:
    """A place of the text where one head attended mostly to one token.

    place   of the query, in tokens from the beginning of the text; the token there is the last that was visible
    key     the place that it attended to; weight: the share of its attention there
    text    the text around the query, in which the characters query[0] to query[1] are its token
    tokens  the tokens at the query and at the key, as a person may read them
    around  the text around the key, in which the characters at[0] to at[1] are its token
    """

    place: int
    key: int
    weight: float
    tokens: tuple[str, str]
    text: str
    query: tuple[int, int]
    around: str
    at: tuple[int, int]


@dataclass(frozen=True)
class HeadRoles:
    """What H heads in each of L layers attend to. R roles, named by `roles`.

    tokens      how many tokens of the text were measured on
    roles       (R) names. "k tokens back" is for the k, from 2 on, that gets most: back
    scores      (L, H, R) float32, from 0 to 1: the mean share of the attention that goes where the role says
    chance      (R) float32: what uniform attention would give
    by_distance (L, H, R) float32: what the same attention to each distance would give, whatever the text says;
                not a number where a role is itself about the distance
    queries     (R) int64: how many places each role was measured at; with none, the scores are not a number
    back        (L, H) int64: the k; 0 where windows are too short for any
    entropy     (L, H) float32, in bits: 0 where all attention goes to one token
    uniform     the entropy of uniform attention, in bits
    role        (L, H) the index of the role that stands out most; -1 where none does by 0.1 or more
    surest      (L, H) of up to K places each
    """

    tokens: int
    roles: tuple[str, ...]
    scores: NDArray[np.float32]
    chance: NDArray[np.float32]
    by_distance: NDArray[np.float32]
    queries: NDArray[np.int64]
    back: NDArray[np.int64]
    entropy: NDArray[np.float32]
    uniform: float
    role: NDArray[np.int64]
    surest: tuple[tuple[tuple[Surest, ...], ...], ...]

    def expected(self) -> NDArray[np.float32]:
        """(L, H, R): what a head would score without the role: the larger of chance and by_distance."""
        return np.asarray(np.fmax(self.by_distance, self.chance), np.float32)

    def as_object(self) -> dict[str, Any]:
        """The heads as JSON, one card each; null for what could not be measured."""
        expected = self.expected()
        heads = []
        for layer, head in np.ndindex(self.entropy.shape):
            roles = [
                {
                    "role": name,
                    "score": number(self.scores[layer, head, n]),
                    "chance": number(self.chance[n]),
                    "by_distance": number(self.by_distance[layer, head, n]),
                    "above": number(self.scores[layer, head, n] - expected[layer, head, n]),
                    "queries": int(self.queries[n]),
                }
                for n, name in enumerate(self.roles)
            ]
            role = int(self.role[layer, head])
            heads.append(
                {
                    "layer": layer,
                    "head": head,
                    "role": self.roles[role] if role >= 0 else None,
                    "back": int(self.back[layer, head]),
                    "entropy": number(self.entropy[layer, head]),
                    "roles": roles,
                    "surest": [vars(place) for place in self.surest[layer][head]],
                }
            )
        return {"tokens": self.tokens, "uniform_entropy": self.uniform, "heads": heads}


class Measuring(Causal):
    """A causal context that hands the attention weights (B, H, T, T) of each layer to a function."""

    def __init__(self, measure: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.measure = measure

    def attend(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, *, window: int = 0, dropout: float = 0.0
    ) -> Tensor:
        mask = self.visible(q.size(1), window, q.device)
        weights = attention_weights(q.transpose(1, 2), k.transpose(1, 2), scale, mask)
        self.measure(layer, weights.float().cpu())
        return super().attend(layer, q, k, v, scale, window=window, dropout=dropout)


class Sums:
    """Attention summed over the queries of all windows: by role, by distance, and its entropy."""

    def __init__(self, layers: int, heads: int, rules: int, length: int) -> None:
        self.roles = torch.zeros(layers, heads, rules, dtype=torch.float64)
        self.distances = torch.zeros(layers, heads, length, dtype=torch.float64)  # the share at each distance
        self.entropy = torch.zeros(layers, heads, dtype=torch.float64)
        self.counts = torch.zeros(rules, dtype=torch.float64)  # queries
        self.chance = torch.zeros(rules, dtype=torch.float64)
        self.uniform = 0.0
        self.distance_queries = torch.zeros(length, dtype=torch.float64)  # queries that see so far back
        self.rule_distances = torch.zeros(rules, length, dtype=torch.float64)  # how often a rule names a distance
        self.queries = 0

    def add_rules(self, rules: Tensor) -> None:
        """rules (R, T, T), 1.0 where the query in the row is to attend to the key in the column."""
        length = rules.size(-1)
        visible = torch.arange(1, length + 1, dtype=torch.float64)
        named = rules.sum(-1)  # (R, T)
        self.counts += (named > 0).sum(-1)
        self.chance += (named / visible).sum(-1)
        self.uniform += float(visible[1:].log2().sum())
        self.queries += length - 1
        self.rule_distances[:, :length] += by_distance(rules)
        # So many queries see so far back; the first one has no choice, and does not count.
        self.distance_queries[:length] += length - torch.arange(length).clamp(min=1)

    def add(self, layer: int, weights: Tensor, rules: Tensor) -> None:
        """weights (H, T, T) of one window."""
        self.roles[layer] += torch.einsum("hqk,rqk->hr", weights, rules)
        own = weights[:, 1:]
        self.entropy[layer] -= (own * own.clamp(min=1e-30).log2()).sum((1, 2))
        self.distances[layer, :, : weights.size(-1)] += by_distance(weights)


def by_distance(causal: Tensor) -> Tensor:
    """(N, T, T), zero where a column is behind its row -> (N, T): sums over what is at each distance.

    The first row is left out: its query sees nothing but itself.
    """
    length = causal.size(-1)
    places = torch.arange(length)
    distance = (places[1:, None] - places).clamp(min=0).flatten()  # what lies ahead is zero, wherever it is added
    values = causal[:, 1:].flatten(1)
    return torch.zeros(causal.size(0), length).scatter_add_(1, distance.expand_as(values), values)


@torch.inference_mode()
def head_roles(
    model: CausalLM,
    tokenizer: Tokenizer,
    text: str | Sequence[int] | NDArray[np.int64],
    *,
    most_tokens: int = MOST_TOKENS,
    surest: int = 5,
    seed: int = 0,
) -> HeadRoles:
    """What each head attends to, on a text that the model was not trained on: a string or ids.

    most_tokens: so many of its tokens are measured on, in windows of context_length. surest: K. Induction is
    measured on random strings of the text's tokens, each followed by its repetition, drawn with `seed`.
    Raises ModelError for a bigram, UsageError for a text of less than two tokens, UnknownCharacter.
    """
    model = check_gpt(model, "heads")
    ids = ids_of(model, tokenizer, text, most_tokens)
    characters = characters_of(tokenizer, ids)
    config = model.config
    length = min(config.context_length, len(ids))
    rules_of = Rules(ids, characters)
    sums = Sums(config.n_layer, config.n_head, len(Rules.NAMES), length)
    places = SurestPlaces(config.n_layer, config.n_head, surest)
    with evaluation_mode(model):
        for start in range(0, len(ids) - 1, length):
            window = ids[start : start + length]
            rules = rules_of.window(start, len(window))
            sums.add_rules(rules)

            def measure(layer: int, weights: Tensor, start: int = start, rules: Tensor = rules) -> None:
                sums.add(layer, weights[0], rules)
                places.add(layer, start, weights[0], ids)

            model.features(torch.from_numpy(window[None]).to(model.device), Measuring(measure))
    profile = sums.distances / sums.distance_queries.clamp(min=1)  # (L, H, T)
    induction, expected, chance, count = induction_scores(model, np.unique(ids), profile, seed)
    return assembled(sums, profile, (induction, expected, chance, count), places.found(tokenizer, characters, ids))


def assembled(
    sums: Sums,
    profile: Tensor,
    induction: tuple[Tensor, Tensor, float, int],
    surest: tuple[tuple[tuple[Surest, ...], ...], ...],
) -> HeadRoles:
    layers, heads, _ = sums.roles.shape
    scores = torch.full((layers, heads, len(ROLES)), float("nan"), dtype=torch.float64)
    by_distance = scores.clone()
    chance, queries = torch.full((len(ROLES),), float("nan"), dtype=torch.float64), [0] * len(ROLES)
    for n, name in enumerate(Rules.NAMES):
        at, count = ROLES.index(name), float(sums.counts[n])
        if count:
            scores[..., at] = sums.roles[..., n] / count
            chance[at], queries[at] = sums.chance[n] / count, int(count)
            if name in BY_THE_TEXT:
                by_distance[..., at] = profile @ sums.rule_distances[n] / count
    at = ROLES.index(INDUCTION)
    if induction[3]:
        scores[..., at], by_distance[..., at], chance[at], queries[at] = induction
    back = torch.zeros(layers, heads, dtype=torch.int64)
    at, farthest = ROLES.index(BACK), min(MOST_BACK, profile.size(-1) - 1)
    if farthest >= 2:
        scores[..., at], back = profile[..., 2 : farthest + 1].max(-1)
        back += 2
        queries[at] = int(sums.distance_queries[2])
        visible = torch.arange(3, profile.size(-1) + 1, dtype=torch.float64)
        chance[at] = visible.reciprocal().mean()
    above = scores - torch.fmax(by_distance, chance)
    best = above.nan_to_num(nan=-1.0).max(-1)
    role = torch.where(best.values >= CLEAR, best.indices, -1)
    return HeadRoles(
        tokens=sums.queries + 1,
        roles=ROLES,
        scores=scores.float().numpy(),
        chance=chance.float().numpy(),
        by_distance=by_distance.float().numpy(),
        queries=np.array(queries, dtype=np.int64),
        back=back.numpy(),
        entropy=(sums.entropy / max(1, sums.queries)).float().numpy(),
        uniform=sums.uniform / max(1, sums.queries),
        role=role.numpy(),
        surest=surest,
    )


def induction_scores(
    model: GPT, tokens: NDArray[np.int64], profile: Tensor, seed: int
) -> tuple[Tensor, Tensor, float, int]:
    """How much each head attends to what followed the same token earlier, on random strings that are repeated.

    tokens: drawn from. -> scores (L, H), what the attention to these distances gives (L, H), chance, queries.
    The strings have different lengths, so that a head which attends to one distance does not count.
    """
    length, config = model.config.context_length, model.config
    random = np.random.default_rng(seed)
    shape = (config.n_layer, config.n_head)
    scores, expected = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
    chance, queries = 0.0, 0
    longest = length // 2
    if longest < 3:
        return scores, expected, chance, queries
    for period in np.linspace(max(3, longest // 2), longest, REPEATED_STRINGS).astype(int).tolist():
        string = random.choice(tokens, period)
        ids = torch.from_numpy(np.tile(string, 2)[None]).to(model.device)
        rows = torch.arange(period, 2 * period - 1)  # their token stood at row - period, and what followed at + 1

        def measure(layer: int, weights: Tensor, rows: Tensor = rows, period: int = period) -> None:
            scores[layer] += weights[0, :, rows, rows - period + 1].sum(-1)

        model.features(ids, Measuring(measure))
        if period - 1 < profile.size(-1):
            expected += profile[..., period - 1] * len(rows)
        chance += float((1.0 / (rows + 1)).sum())
        queries += len(rows)
    return scores / queries, expected / queries, chance / queries, queries


class SurestPlaces:
    """The places with the largest weight on a single token, for each head; one for each pair of tokens."""

    def __init__(self, layers: int, heads: int, most: int) -> None:
        self.most = most
        # For each head: (token at the query, token at the key) -> the largest weight, and where.
        self.best: list[list[dict[tuple[int, int], tuple[float, int, int]]]] = [
            [{} for _ in range(heads)] for _ in range(layers)
        ]

    def add(self, layer: int, start: int, weights: Tensor, ids: NDArray[np.int64]) -> None:
        """weights (H, T, T) of the window that starts there."""
        if weights.size(-1) <= SKIPPED or not self.most:
            return
        values, keys = weights[:, SKIPPED:].max(-1)  # (H, T - SKIPPED)
        # A few more than are wanted, because several may be of one pair of tokens.
        top = values.topk(min(4 * self.most, values.size(-1)))
        for head, (shares, rows) in enumerate(zip(top.values.tolist(), top.indices.tolist(), strict=True)):
            best = self.best[layer][head]
            for share, row in zip(shares, rows, strict=True):
                place, key = start + SKIPPED + row, start + int(keys[head, row])
                pair = (int(ids[place]), int(ids[key]))
                if pair not in best or share > best[pair][0]:
                    best[pair] = (share, place, key)

    def found(
        self, tokenizer: Tokenizer, characters: Characters, ids: NDArray[np.int64]
    ) -> tuple[tuple[tuple[Surest, ...], ...], ...]:
        def surest(weight: float, place: int, key: int) -> Surest:
            text, query = excerpt(characters, place)
            around, at = excerpt(characters, key)
            names = names_of(tokenizer, [int(ids[place]), int(ids[key])])
            return Surest(place, key, weight, (names[0], names[1]), text, query, around, at)

        return tuple(
            tuple(
                tuple(surest(*found) for found in sorted(best.values(), key=lambda f: (-f[0], f[1]))[: self.most])
                for best in heads
            )
            for heads in self.best
        )


def number(value: float | np.floating[Any]) -> float | None:
    """A number of JSON: null for what is not a number."""
    return float(value) if np.isfinite(value) else None
