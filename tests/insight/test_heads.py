"""Head roles are what a plain loop over all places finds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from homespun.errors import ModelError, UsageError
from homespun.insight import heads
from homespun.insight.heads import BACK, INDUCTION, MOST_BACK, ROLES, HeadRoles, head_roles
from homespun.insight.probabilities import attention_of
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT, build
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import FAMILIES, LENGTH, TEXT, small_model


def named_places(role: str, tokens: list[str], query: int) -> list[int]:
    """Where a role says that the query attends, from the strings of the tokens alone."""
    if role == "previous token":
        return [query - 1]
    if role == "itself":
        return [query]
    if role == "first token":
        return [0]
    if role == "same token before":
        return [place for place in range(query) if tokens[place] == tokens[query]]
    if role == "last newline":
        return [place for place in range(query) if "\n" in tokens[place]][-1:]
    assert role == "beginning of the word"
    owners = [place for place, token in enumerate(tokens[: query + 1]) for _ in token]
    text = "".join(tokens[: query + 1])
    inside = len(text)
    while inside and (text[inside - 1].isalnum() or text[inside - 1] in "'’"):
        inside -= 1
    return [] if inside == len(text) or owners[inside] == query else [owners[inside]]


def by_hand(model: GPT, ids: list[int], tokens: list[str], role: str) -> tuple[np.ndarray, float, int]:
    """(L, H) scores, chance and the number of queries, one place at a time."""
    length = model.config.context_length
    scores, chance, queries = np.zeros((model.config.n_layer, model.config.n_head)), 0.0, 0
    for start in range(0, len(ids) - 1, length):
        weights = attention_of(model, ids[start : start + length]).numpy()
        window = tokens[start : start + length]
        for query in range(1, len(window)):
            # A word or a line that began in another window has its beginning out of sight.
            whole = named_places(role, tokens[: start + len(window)], start + query)
            places = [
                place
                for place in named_places(role, window, query)
                if place + start in whole or role in ("first token",)
            ]
            if places:
                scores += weights[:, :, query, places].sum(-1)
                chance += len(places) / (query + 1)
                queries += 1
    return scores / queries, chance / queries, queries


@pytest.mark.parametrize("kind", ["char", "bpe"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_scores_are_those_of_a_loop_over_all_places(
    family: str, kind: str, tokenizer: Tokenizer, bpe_tokenizer: Tokenizer
) -> None:
    tokenizer = {"char": tokenizer, "bpe": bpe_tokenizer}[kind]
    model = small_model(family, tokenizer)
    text = TEXT.replace("é", "e") if kind == "bpe" else TEXT  # whole characters, so that tokens are strings
    ids = tokenizer.encode(text)
    tokens = [tokenizer.decode([id]) for id in ids]
    found = head_roles(model, tokenizer, text)
    assert found.tokens <= len(ids) and found.roles == ROLES
    for role in ROLES:
        if role in (BACK, INDUCTION):
            continue
        n = ROLES.index(role)
        scores, chance, queries = by_hand(model, ids, tokens, role)
        assert found.queries[n] == queries > 0, role
        np.testing.assert_allclose(found.scores[..., n], scores, atol=1e-5, err_msg=role)
        assert found.chance[n] == pytest.approx(chance, abs=1e-5), role


def test_entropy_distances_and_k_back_are_those_of_the_attention(tokenizer: Tokenizer) -> None:
    model = small_model("modern", tokenizer)
    ids = tokenizer.encode(TEXT)[:LENGTH]
    weights = attention_of(model, ids).numpy()  # (L, H, T, T)
    found = head_roles(model, tokenizer, ids)
    entropy = -(weights * np.log2(weights.clip(1e-30))).sum(-1)[:, :, 1:].mean(-1)
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-5)
    assert found.uniform == pytest.approx(np.mean([math.log2(n) for n in range(2, LENGTH + 1)]))
    profile = np.stack([np.diagonal(weights, -k, 2, 3).mean(-1) for k in range(2, MOST_BACK + 1)], axis=-1)
    np.testing.assert_array_equal(found.back, profile.argmax(-1) + 2)
    np.testing.assert_allclose(found.scores[..., ROLES.index(BACK)], profile.max(-1), atol=1e-6)
    # "same token before": what the same attention to each distance would give.
    same = np.tril(np.equal.outer(ids, ids), -1)
    queries = same.any(1).sum()
    distances = [np.diagonal(same, -k).sum() for k in range(1, LENGTH)]
    means = [np.diagonal(weights, -k, 2, 3).mean(-1) for k in range(1, LENGTH)]
    expected = sum(count * mean for count, mean in zip(distances, means, strict=True)) / queries
    np.testing.assert_allclose(found.by_distance[..., ROLES.index("same token before")], expected, atol=1e-5)


def test_induction_is_measured_on_random_strings_that_are_repeated(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("gpt2", tokenizer)
    seen: list[list[int]] = []
    features = type(model).features

    def spy(self: GPT, ids: torch.Tensor, context: Any = None) -> torch.Tensor:
        seen.append(ids[0].tolist())
        return features(self, ids, context)

    with monkeypatch.context() as patch:
        patch.setattr(GPT, "features", spy)
        found = head_roles(model, tokenizer, TEXT, seed=3)
        again = head_roles(model, tokenizer, TEXT, seed=3)
    strings = [ids for ids in seen[: len(seen) // 2] if ids[: len(ids) // 2] * 2 == ids]
    assert len(strings) == heads.REPEATED_STRINGS and len({len(ids) for ids in strings}) > 3
    scores, queries = np.zeros((2, 4)), 0
    for ids in strings:
        half = len(ids) // 2
        weights = attention_of(model, ids).numpy()
        for query in range(half, 2 * half - 1):
            scores += weights[:, :, query, query - half + 1]
            queries += 1
    np.testing.assert_allclose(found.scores[..., ROLES.index(INDUCTION)], scores / queries, atol=1e-5)
    np.testing.assert_array_equal(found.scores, again.scores)
    assert found.surest == again.surest


def shifting_model(tokenizer: Tokenizer, back: int) -> GPT:
    """A head in which each position attends to the one so many places before it, by its position alone."""
    shape = {"context_length": LENGTH, "n_layer": 1, "n_head": 1, "n_embd": 64}
    model = build(GPTConfig.of("gpt2", vocab_size=tokenizer.vocab_size, **shape)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        block = model.blocks[0]
        block.attention_norm.weight.fill_(1.0)
        assert model.position_embedding is not None
        model.position_embedding.weight[:, :LENGTH] = torch.eye(LENGTH)
        block.attention.key.weight.copy_(torch.eye(64))
        for place in range(LENGTH):
            block.attention.query.weight[max(0, place - back), place] = 10.0
    return model


@pytest.mark.parametrize(
    ("back", "role"), [(1, "previous token"), (3, "k tokens back"), (0, "itself"), (99, "first token")]
)
def test_a_head_that_was_built_for_a_role_is_found_to_have_it(back: int, role: str, tokenizer: Tokenizer) -> None:
    found = head_roles(shifting_model(tokenizer, back), tokenizer, TEXT)
    assert found.roles[found.role[0, 0]] == role
    assert found.scores[0, 0, found.roles.index(role)] > 0.8
    assert back != 3 or found.back[0, 0] == 3
    card = found.as_object()["heads"][0]
    assert card["role"] == role and card["layer"] == card["head"] == 0


def test_a_head_that_attends_to_everything_alike_has_no_role(tokenizer: Tokenizer) -> None:
    model = shifting_model(tokenizer, 1)
    with torch.no_grad():
        model.blocks[0].attention.query.weight.zero_()
    found = head_roles(model, tokenizer, TEXT)
    assert found.role[0, 0] == -1 and found.entropy[0, 0] == pytest.approx(found.uniform, abs=1e-5)
    for n, role in enumerate(ROLES):
        if role != BACK:
            assert found.scores[0, 0, n] == pytest.approx(found.chance[n], abs=1e-5), role


def test_the_surest_places_are_where_a_single_weight_is_largest(tokenizer: Tokenizer) -> None:
    model = small_model("llama", tokenizer)
    ids = tokenizer.encode(TEXT)
    found = head_roles(model, tokenizer, ids, surest=3)
    for layer in range(2):
        for head in range(4):
            places = found.surest[layer][head]
            assert len(places) == 3 and [place.weight for place in places] == sorted(
                (place.weight for place in places), reverse=True
            )
            largest = 0.0
            for start in range(0, len(ids), LENGTH):
                weights = attention_of(model, ids[start : start + LENGTH])[layer, head]
                if len(weights) > heads.SKIPPED:
                    largest = max(largest, float(weights[heads.SKIPPED :].max()))
            assert places[0].weight == pytest.approx(largest, abs=1e-6)
            for place in places:
                start = place.place // LENGTH * LENGTH
                weights = attention_of(model, ids[start : start + LENGTH])[layer, head]
                assert place.weight == pytest.approx(
                    float(weights[place.place - start, place.key - start]), abs=1e-6
                )
                assert place.text[slice(*place.query)] == TEXT[place.place] and place.text in TEXT
                assert place.around[slice(*place.at)] == TEXT[place.key]


def test_what_cannot_be_measured_is_not_a_number_and_null_in_json(tokenizer: Tokenizer) -> None:
    found: HeadRoles = head_roles(small_model("gpt2", tokenizer, context_length=4), tokenizer, "abcd" * 3)
    n = ROLES.index("last newline")
    assert np.isnan(found.scores[..., n]).all() and found.queries[n] == 0
    assert found.as_object()["heads"][0]["roles"][n]["score"] is None
    assert np.isnan(found.scores[..., ROLES.index(INDUCTION)]).all()


def test_a_bigram_and_a_short_text_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ModelError, match="A bigram has no heads"):
        head_roles(small_model("bigram", tokenizer), tokenizer, TEXT)
    with pytest.raises(UsageError, match="1 token"):
        head_roles(small_model("gpt2", tokenizer), tokenizer, "a")
