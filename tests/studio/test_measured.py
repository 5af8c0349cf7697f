"""What is measured of a model that was trained, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import homespun
from homespun.insight.ablation import switch_off
from homespun.insight.heads import head_roles
from homespun.insight.neurons import neuron_activations
from homespun.training.watcher import Watcher
from tests.studio.running import SMALL, RunningStudio
from tests.studio.test_inside import array


@pytest.fixture
def trained(studio: RunningStudio, shared_folder: Path) -> Any:
    """A run with its text in the cache of this test."""
    out = shared_folder / "runs" / "trained"
    if not out.exists():
        settings = {**SMALL, "n_layer": 2}
        homespun.train(
            shared_folder / "book.txt", out=out, steps=10, context=32, settings=settings, watcher=Watcher()
        )
    return homespun.load(out)


def test_a_trained_model_shows_what_is_in_it(
    studio: RunningStudio, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"run": "runs/trained"}
    held_out = trained.dataset().val.ids

    cards = studio.get("/api/inside/heads", **run)
    measured = head_roles(trained.model, trained.tokenizer, held_out)
    assert cards["tokens"] == measured.tokens
    assert [card["role"] for card in cards["heads"]] == [card["role"] for card in measured.as_object()["heads"]]
    assert [(card["layer"], card["head"]) for card in cards["heads"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for card in cards["heads"]:
        assert card["surest"] and len(card["roles"]) == len({role["role"] for role in card["roles"]})
        for role in card["roles"]:
            assert role["score"] is None or 0 <= role["score"] <= 1
            if role["above"] is not None:
                expected_share = max(role["chance"], role["by_distance"] or 0.0)
                assert role["above"] == pytest.approx(role["score"] - expected_share, abs=1e-6)

    off = studio.post("/api/inside/ablation", **run, heads=[[0, 0], [1, 1]])
    expected = switch_off(trained.model, trained.tokenizer, held_out, [(0, 0), (1, 1)])
    assert off["loss"] == pytest.approx(expected.loss) and off["without"] == pytest.approx(expected.without)
    assert off["change"] == pytest.approx(expected.change) and off["heads"] == [[0, 0], [1, 1]]
    studio.post("/api/inside/ablation", 400, **run, heads=[[7, 0]])

    table = studio.get("/api/inside/ablations", **run)
    one = studio.post("/api/inside/ablation", **run, heads=[[1, 0]])
    assert table["loss"] == pytest.approx(one["loss"]) and table["tokens"] == one["tokens"]
    assert table["change"][1][0] == pytest.approx(one["change"], abs=1e-5)
    assert np.shape(table["error"]) == np.shape(table["change"]) == (2, 2)

    found = studio.get("/api/inside/neurons", **run)
    assert found["layers"] == 2 and {neuron["layer"] for neuron in found["neurons"]} == {0, 1}
    assert all(peak["text"] for peak in found["neurons"][0]["peaks"])
    text = "The old king sees the moon."
    over = studio.post("/api/inside/activations", **run, layer=1, neuron=3, text=text)
    assert "".join(over["tokens"]) == text
    ids = trained.tokenizer.encode(text)
    values = neuron_activations(trained.model, trained.tokenizer, ids, 1, [3]).values[0]
    ends = np.cumsum([len(trained.tokenizer.encode(piece)) for piece in over["tokens"]]) - 1
    assert array(over["values"]) == pytest.approx(values[ends], abs=1e-5)
    assert len(studio.post("/api/inside/activations", **run, layer=0, neuron=0)["tokens"]) > 1
    studio.post("/api/inside/activations", 400, **run, layer=2, neuron=0)

    parts = studio.get("/api/inside/parameters", **run)
    assert parts["total"] == trained.model.number_of_parameters()
    assert parts["total"] == sum(tensor["count"] for tensor in parts["tensors"])
    name = "blocks.0.feed_forward.up.weight"
    weight = dict(trained.model.named_parameters())[name].detach()
    picture = studio.get("/api/inside/matrix", **run, name=name, most=8)
    assert picture["shape"] == list(weight.shape)
    assert array(picture["values"]).shape == (picture["height"], picture["width"])
    assert max(picture["height"], picture["width"]) <= 8
    assert picture["std"] == pytest.approx(float(weight.std(correction=0)), rel=1e-4)
    studio.get("/api/inside/matrix", 400, **run, name="nothing", most=8)

    film = studio.get("/api/inside/film", **run)
    assert film["steps"][0] == 0 and film["steps"][-1] == 10
    assert array(film["points"]).shape == (len(film["steps"]), len(film["ids"]), 2)
    assert len(film["shares"]) == len(film["moved"]) == len(film["steps"])
    assert studio.get("/api/inside/film", run="runs/one")["steps"] == []

    passage = trained.tokenizer.decode(trained.dataset().train.ids[100:180])
    copies = studio.post("/api/inside/copies", **run, text=passage)
    piece = copies["pieces"][0]
    assert copies["share"] == 1.0 and copies["longest"] == piece["length"] == 80 and piece["count"] >= 1
    assert copies["text"] == passage and piece["characters"] == [0, len(passage)]

    # While a training has the computer, what takes long waits; what does not is answered.
    monkeypatch.setattr("homespun.studio.acting.is_training", lambda state: True)
    other = {"run": "runs/one"}
    assert studio.get("/api/inside/heads", 503, **other)["code"] == "training"
    assert studio.get("/api/inside/heads", 409, **other, anyway=True)["code"] == "no_text"
    refused = studio.post("/api/inside/ablation", 503, **run, heads=[[0, 0]])
    assert refused["code"] == "training"
    # What is known of a model is not measured again.
    monkeypatch.setattr("homespun.studio.measured.head_roles", None)
    assert studio.get("/api/inside/heads", **run) == cards
    assert studio.get("/api/inside/parameters", **run)["total"] == parts["total"]


def test_without_its_text_a_model_is_measured_on_none(studio: RunningStudio) -> None:
    assert studio.get("/api/inside/heads", 409, run="runs/one")["code"] == "no_text"


def test_numbers_are_little_endian(studio: RunningStudio) -> None:
    from homespun.studio.inside import numbers

    said = numbers(torch.tensor([[1.0, -2.5]]).numpy(), "float16").model_dump()
    assert np.array_equal(array(said), [[1.0, -2.5]])
