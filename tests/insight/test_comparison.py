"""Two models are compared by characters, whatever their tokens are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from homespun.errors import UnknownCharacter, UsageError
from homespun.insight.comparison import character_surprises, compare_models
from homespun.insight.probabilities import token_probabilities
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import TEXT, small_model


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_the_bits_of_characters_add_up_to_those_of_the_tokens(
    kind: str, tokenizer: Tokenizer, byte_tokenizer: Tokenizer, bpe_tokenizer: Tokenizer
) -> None:
    tokenizer = {"char": tokenizer, "byte": byte_tokenizer, "bpe": bpe_tokenizer}[kind]
    model = small_model("modern", tokenizer)
    found = character_surprises(model, tokenizer, TEXT)
    tokens = token_probabilities(model, tokenizer, TEXT)
    assert len(found.bits) == len(found.starts) == len(TEXT) and found.tokens == len(tokens.ids)
    first = len(tokenizer.decode([int(tokens.ids[0])]))
    assert np.isnan(found.bits[:first]).all() and not np.isnan(found.bits[first:]).any()
    assert np.nansum(found.bits) == pytest.approx(-np.nansum(tokens.logprobs) / math.log(2), rel=1e-5)
    place = 0
    for id, logprob in zip(tokens.ids.tolist(), tokens.logprobs.tolist(), strict=True):
        text = tokenizer.decode([id])
        if "\ufffd" in text or TEXT[place : place + len(text)] != text:
            break  # the parts of é, which the sum holds
        assert found.starts[place] and not found.starts[place + 1 : place + len(text)].any()
        if place:
            np.testing.assert_allclose(
                found.bits[place : place + len(text)], -logprob / math.log(2) / len(text), rtol=1e-4
            )
        place += len(text)
    assert place > 40


def test_the_parts_of_a_character_are_added_up(byte_tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", byte_tokenizer)
    found = character_surprises(model, byte_tokenizer, "an é!")
    tokens = token_probabilities(model, byte_tokenizer, "an é!")
    assert found.bits[3] == pytest.approx(-float(tokens.logprobs[3] + tokens.logprobs[4]) / math.log(2), rel=1e-5)
    assert found.starts.all() and found.tokens == 6


def test_models_with_different_tokens_are_compared_where_both_predict(
    tokenizer: Tokenizer, bpe_tokenizer: Tokenizer
) -> None:
    one, other = small_model("modern", tokenizer), small_model("lecture", bpe_tokenizer)
    text = "the cat sat on a mat"
    found = compare_models(one, tokenizer, other, bpe_tokenizer, text)
    np.testing.assert_allclose(found.difference, found.second.bits - found.first.bits)
    first = len(bpe_tokenizer.decode([bpe_tokenizer.encode(text)[0]]))
    assert found.counted == len(text) - first
    assert found.means[0] == pytest.approx(character_surprises(one, tokenizer, text).bits[first:].mean())
    back = compare_models(other, bpe_tokenizer, one, tokenizer, text)
    np.testing.assert_array_equal(found.difference, -back.difference)
    content = found.as_object()
    assert content["difference"][0] is None and len(content["first"]) == len(text)


def test_a_bigram_can_be_compared_too(tokenizer: Tokenizer) -> None:
    found = compare_models(
        small_model("bigram", tokenizer), tokenizer, small_model("gpt2", tokenizer), tokenizer, TEXT
    )
    assert found.counted == len(TEXT) - 1


def test_what_is_wrong_is_said(tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    with pytest.raises(UsageError, match="The text is empty"):
        character_surprises(model, tokenizer, "")
    with pytest.raises(UsageError, match="too short"):
        compare_models(model, tokenizer, model, tokenizer, "a")
    with pytest.raises(UnknownCharacter):
        character_surprises(model, tokenizer, "ω")
