"""Neurons: their activations are those of the layer, and a property explains what numpy says it explains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from homespun.errors import ModelError, UsageError
from homespun.generation.window import window_start
from homespun.insight.character_classes import character_classes, of_characters
from homespun.insight.neurons import activations_kept, neuron_activations, neuron_classes, of_a_layer
from homespun.insight.passes import characters_of
from homespun.model.block import activation_of
from homespun.model.gpt import GPT
from homespun.tokenizer.tokenizer import Tokenizer
from tests.insight.conftest import FAMILIES, LENGTH, TEXT, hooks_of, small_model


@torch.no_grad()
def by_hand(model: GPT, ids: list[int], layer: int) -> torch.Tensor:
    """(T, n_inner) of a text that fits into the window: the last layer's input, computed from its matrices."""
    block = model.blocks[layer]
    inputs: list[torch.Tensor] = []
    hook = block.feed_forward.register_forward_hook(lambda module, given, out: inputs.append(given[0]))
    model.features(torch.tensor([ids]))
    hook.remove()
    x, layer_ = inputs[0][0], block.feed_forward
    up, act = layer_.up(x), activation_of(model.config.feed_forward)
    return act(up) if layer_.gate is None else act(layer_.gate(x)) * up


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_what_the_last_matrix_is_given(family: str, tokenizer: Tokenizer) -> None:
    model = small_model(family, tokenizer)
    ids = tokenizer.encode(TEXT)[:60]
    found = neuron_activations(model, tokenizer, ids, 1, [5, 60])
    assert found.values.shape == (2, 60) and found.tokens[0] == "N"
    for place in range(60):
        start = window_start(place + 1, LENGTH)
        expected = by_hand(model, ids[start : place + 1], 1)[-1, [5, 60]]
        np.testing.assert_allclose(found.values[:, place], expected, atol=1e-4)
    assert hooks_of(model) == 0


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_the_correlation_is_numpys_on_the_half_on_which_nothing_was_chosen(
    kind: str, tokenizer: Tokenizer, bpe_tokenizer: Tokenizer
) -> None:
    tokenizer = {"char": tokenizer, "bpe": bpe_tokenizer}[kind]
    model = small_model("modern", tokenizer)
    text = TEXT * 4
    ids = np.array(tokenizer.encode(text))
    found = neuron_classes(model, tokenizer, text, peaks=2)
    properties = character_classes(tokenizer, ids, characters_of(tokenizer, ids))
    assert found.names == properties.names and found.tokens == len(ids)
    half = len(ids) // 2
    for layer in range(2):
        whole = len(ids) // LENGTH * LENGTH
        parts = [by_hand(model, ids[s : s + LENGTH].tolist(), layer) for s in range(0, whole, LENGTH)]
        if whole < len(ids):
            parts.append(by_hand(model, ids[whole:].tolist(), layer))
        values = torch.cat(parts).numpy()
        for neuron in (0, 7, 50):
            on_first = [
                abs(np.corrcoef(values[:half, neuron], column)[0, 1]) if column.std() else 0.0
                for column in properties.values[:half].T
            ]
            best = found.best[layer, neuron]
            assert on_first[best] == pytest.approx(max(on_first), abs=1e-4)
            column = properties.values[half:, best]
            expected = np.corrcoef(values[half:, neuron], column)[0, 1]
            assert found.correlation[layer, neuron] == pytest.approx(expected, abs=1e-3)
            if properties.is_class[best]:
                inside, outside = values[half:, neuron][column > 0], values[half:, neuron][column == 0]
                wins = (inside[:, None] > outside).mean() + (inside[:, None] == outside).mean() / 2
                assert found.auc[layer, neuron] == pytest.approx(wins, abs=1e-4)
            else:
                assert np.isnan(found.auc[layer, neuron])
            np.testing.assert_allclose(
                found.peak_values[layer, neuron], np.sort(values[:, neuron])[:-3:-1], atol=1e-5
            )
            assert found.mean[layer, neuron] == pytest.approx(values[:, neuron].mean(), abs=1e-4)


def test_a_neuron_that_fires_at_vowels_is_found_to_do_so(tokenizer: Tokenizer) -> None:
    ids = np.array(tokenizer.encode(TEXT * 4))
    properties = character_classes(tokenizer, ids, characters_of(tokenizer, ids))
    at = properties.names.index("vowel")
    random = torch.Generator().manual_seed(0)
    noise = 0.3 * torch.randn(len(ids), 3, generator=random)
    activations = torch.stack(
        [
            torch.from_numpy(properties.values[:, at]),
            torch.zeros(len(ids)),
            -2 * torch.from_numpy(properties.values[:, at]),
        ],
        1,
    )
    activations[:, [0, 2]] += noise[:, [0, 2]]
    best, correlation, auc, active, *_ = of_a_layer(activations, properties.values, properties.is_class, 1)
    assert best[0] == best[2] == at and correlation[0] > 0.8 > -0.8 > correlation[2]
    assert auc[0] > 0.95 and auc[2] < 0.05
    assert best[1] == -1 and np.isnan(correlation[1]) and active[1] == 0, "one that never fires has no property"


def test_properties_are_what_a_reader_would_say() -> None:
    text = 'Say "no, I".\n\nTOM:\n(a1)\n'
    found = of_characters(text)

    def where(name: str) -> str:
        return "".join(c if v else "·" for c, v in zip(text.replace("\n", "|"), found[name], strict=True))

    assert where("vowel") == "·ay···o··I·····O····a···"
    assert where("capital") == "S" + "·" * 8 + "I" + "·" * 4 + "TOM" + "·" * 7
    assert where("digit") == "·" * 21 + "1··"
    assert where("inside quotes") == "····" + '"no, I' + "·" * 14
    assert where("inside brackets") == "·" * 19 + "(a1" + "··"
    assert where("newline") == "·" * 12 + "||" + "····|" + "····|"
    assert where("line after an empty line") == 'Say "no, I".|' + "·" + "TOM:|" + "·····"
    assert where("line in capitals")[14:17] == "TOM" and "a" not in where("line in capitals")
    assert found["place in the word"].tolist()[:4] == [1, 2, 3, 0]
    assert found["place in the line"].tolist()[12:16] == [12, 0, 0, 1]


def test_a_token_of_several_characters_is_described_by_its_last_one(bpe_tokenizer: Tokenizer) -> None:
    ids = np.array(bpe_tokenizer.encode(TEXT * 4))
    found = character_classes(bpe_tokenizer, ids, characters_of(bpe_tokenizer, ids))
    tokens = [bpe_tokenizer.decode([int(id)]) for id in ids]
    columns = dict(zip(found.names, found.values.T, strict=True))
    for place, token in enumerate(tokens):
        if "\ufffd" not in token:
            assert columns["vowel"][place] == (token[-1].lower() in "aeiouyé"), token
            assert columns["begins with a space"][place] == token.startswith(" ")
            assert columns["length of the token"][place] == len(token)


@pytest.mark.parametrize("text", ["née", "é", "aé\n"])
def test_characters_of_tokens_that_are_bytes(text: str, byte_tokenizer: Tokenizer) -> None:
    found = characters_of(byte_tokenizer, byte_tokenizer.encode(text))
    assert found.text == text and found.ends[-1] == len(text)
    at = len(text[: text.index("é")].encode())
    assert found.span(at)[0] == found.span(at)[1], "the first byte of é completes no character"
    assert text[slice(*found.span(at + 1))] == "é"


def test_the_order_begins_with_the_best_explained_and_json_has_the_texts(tokenizer: Tokenizer) -> None:
    found = neuron_classes(small_model("gpt2", tokenizer), tokenizer, TEXT * 4)
    order = found.order()
    sizes = np.abs(np.nan_to_num(found.correlation[order[:, 0], order[:, 1]]))
    assert len(order) == 2 * 128 and (np.diff(sizes) <= 0).all()
    card = found.as_object(most=3)
    assert len(card["neurons"]) == 3 and card["width"] == 128 and card["layers"] == 2
    peak = card["neurons"][0]["peaks"][0]
    assert peak["text"][slice(*peak["token"])] == (TEXT * 4)[peak["place"]]
    assert sum(row["neurons"] for row in card["properties"]) + (found.best < 0).sum() == 256


def test_layers_that_do_not_fit_at_once_are_computed_one_after_another(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("modern", tokenizer)
    whole = neuron_classes(model, tokenizer, TEXT * 4)
    monkeypatch.setattr("homespun.insight.neurons.MOST_AT_ONCE", len(TEXT) * 4 * model.config.n_inner)
    parts = neuron_classes(model, tokenizer, TEXT * 4)
    np.testing.assert_array_equal(whole.correlation, parts.correlation)


def test_what_is_wrong_is_said(tokenizer: Tokenizer) -> None:
    model = small_model("gpt2", tokenizer)
    with pytest.raises(UsageError, match=r"no neuron 128 in layer 1: .* 2 layers of 128 neurons"):
        neuron_activations(model, tokenizer, TEXT, 1, [3, 128])
    with pytest.raises(UsageError, match="63 tokens are too few"):
        neuron_classes(model, tokenizer, TEXT[:63])
    with pytest.raises(ModelError, match="A bigram has no neurons"):
        neuron_classes(small_model("bigram", tokenizer), tokenizer, TEXT)
    with pytest.raises(RuntimeError, match="stop"), activations_kept(model):
        raise RuntimeError("stop")
    assert hooks_of(model) == 0
