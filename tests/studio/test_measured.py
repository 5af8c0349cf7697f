"""What is measured of a model that was trained, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import homespun
from homespun.insight.ablation import switch_off
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
    assert [(card["layer"], card["head"]) for card in cards["heads"]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for card in cards["heads"]:
        assert set(card["scores"]) <= set(cards["about"]) and card["says"].endswith(".") and card["examples"]
        assert all(0 <= score <= 1 for score in card["scores"].values())

    off = studio.post("/api/inside/ablation", **run, heads=[[0, 0], [1, 1]])
    expected = switch_off(trained.model, trained.tokenizer, held_out, [(0, 0), (1, 1)])
    assert off["loss"] == pytest.approx(expected.loss) and off["loss_without"] == pytest.approx(expected.without)
    studio.post("/api/inside/ablation", 400, **run, heads=[[7, 0]])

    text = "The old king sees the moon."
    found = studio.post("/api/inside/neurons", **run, layer=1, text=text, count=3)
    assert "".join(cell["text"] for cell in found["cells"]) == text
    assert array(found["activations"]).shape == (3, len(found["cells"])) and len(found["neurons"]) == 3
    studio.post("/api/inside/neurons", 400, **run, layer=2)

    parts = studio.get("/api/inside/parameters", **run)
    assert parts["total"] == trained.model.number_of_parameters()
    name = "blocks.0.feed_forward.up.weight"
    weight = dict(trained.model.named_parameters())[name].detach()
    picture = studio.get("/api/inside/matrix", **run, name=name, most=8)
    assert picture["shape"] == list(weight.shape) and max(array(picture["values"]).shape) <= 8
    assert picture["rms"] == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-4)
    studio.get("/api/inside/matrix", 400, **run, name="nothing", most=8)

    film = studio.get("/api/inside/film", **run)
    assert film["steps"][0] == 0 and film["steps"][-1] == 10
    assert array(film["points"]).shape == (len(film["steps"]), len(film["ids"]), 2)
    assert studio.get("/api/inside/film", run="runs/one")["steps"] == []

    passage = trained.tokenizer.decode(trained.dataset().train.ids[100:180])
    copies = studio.post("/api/inside/copies", **run, text=passage)
    assert copies["share"] == 1.0 and copies["copied"][0]["tokens"] == 80 and copies["copied"][0]["count"] >= 1
    assert copies["copied"][0]["text"] == passage

    # While a training has the computer, what takes long waits; what does not is answered.
    monkeypatch.setattr("homespun.studio.acting.is_training", lambda state: True)
    refused = studio.get("/api/inside/heads", 503, **run)
    assert refused["code"] == "training"
    assert studio.get("/api/inside/heads", **run, anyway=True)["tokens"] == cards["tokens"]
    assert studio.get("/api/inside/parameters", **run)["total"] == parts["total"]


def test_without_its_text_a_model_is_measured_on_none(studio: RunningStudio) -> None:
    assert studio.get("/api/inside/heads", 409, run="runs/one")["code"] == "no_text"


def test_numbers_are_little_endian(studio: RunningStudio) -> None:
    from homespun.studio.inside import numbers

    said = numbers(torch.tensor([[1.0, -2.5]]).numpy(), "float16").model_dump()
    assert np.array_equal(array(said), [[1.0, -2.5]])
